/* tests/unit/policy/policy_judge.c - the design's precedence, case by case. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

struct row {
	const char *title, *name, *type, *want;
};
struct group {
	const char *about, *policy;
	const char *feeds[9]; /* name, text, ... NULL */
	struct row rows[48];
};

#define HEAD "version: 1\nworkloads: {w: {source: 192.0.2.1, profile: p}}\n"
#define PROFILE(body) HEAD "profiles:\n  p:\n" body
#define L63 "a23456789012345678901234567890123456789012345678901234567890123"
#define L62 "a2345678901234567890123456789012345678901234567890123456789012"
#define L61 "a234567890123456789012345678901234567890123456789012345678901"
#define TEN(x) x x x x x x x x x x

static const struct group groups[] = {
	{ "exact names",
	  PROFILE("    allow:\n"
	          "      - name: db.corp.test\n"
	          "      - name: Upper.Corp.TEST\n"
	          "      - name: dotted.corp.test.\n"
	          "      - name: _sip._tcp.corp.test\n"
	          "      - name: corp\n"),
	  { NULL },
	  {
	      { "the name", "db.corp.test", "A", "allow rule allow db.corp.test" },
	      { "its case does not matter", "DB.cOrP.TeSt", "A", "allow rule allow db.corp.test" },
	      { "a final dot does not matter", "db.corp.test.", "A",
	        "allow rule allow db.corp.test" },
	      { "the rule's case does not matter", "upper.corp.test", "A",
	        "allow rule allow Upper.Corp.TEST" },
	      { "the rule's final dot does not matter", "dotted.corp.test", "A",
	        "allow rule allow dotted.corp.test." },
	      { "underscores", "_sip._tcp.corp.test", "SRV",
	        "allow rule allow _sip._tcp.corp.test" },
	      { "one label", "corp", "A", "allow rule allow corp" },
	      { "a name below", "x.db.corp.test", "A", "nxdomain no rule" },
	      { "its parent has allowed names below", "corp.test", "A", "nodata no rule" },
	      { "an empty non-terminal", "_tcp.corp.test", "A", "nodata no rule" },
	      { "the top", "test", "A", "nodata no rule" },
	      { "the root", ".", "A", "nodata no rule" },
	      { "another name", "www.corp.test", "A", "nxdomain no rule" },
	      { "a name that ends alike without a dot", "xdb.corp.test", "A", "nxdomain no rule" },
	      { "a name that begins alike", "db.corp.testing", "A", "nxdomain no rule" },
	      { "the search suffix is part of the name", "db.corp.test.corp.test", "A",
	        "nxdomain no rule" },
	      { "unrelated", "example.org", "A", "nxdomain no rule" },
	      { "an escaped dot is no dot", "db\\.corp.test", "A", "nxdomain no rule" },
	      { "an escaped ordinary letter", "\\100b.corp.test", "A",
	        "allow rule allow db.corp.test" },
	      { "an escaped capital", "\\068b.corp.test", "A", "allow rule allow db.corp.test" },
	      { "@ is not a backquote", "\\064b.corp.test", "A", "nxdomain no rule" },
	      { "octet 0x44 with the top bit", "\\196b.corp.test", "A", "nxdomain no rule" },
	      { "a zero octet behind", "db\\000.corp.test", "A", "nxdomain no rule" },
	  } },
	{ "patterns against their apex",
	  PROFILE("    allow:\n"
	          "      - name: '**.any.test'\n"
	          "      - name: '*.one.test'\n"
	          "      - zone: zone.test\n"
	          "      - name: 'api-*.cdn.test'\n"
	          "      - name: '*-api.cdn.test'\n"
	          "      - name: 'a*b*c.cdn.test'\n"
	          "      - name: '*.*.two.test'\n"
	          "      - name: '*.mid.*.three.test'\n"
	          "      - name: '**.api-*.deep.test'\n"),
	  { NULL },
	  {
	      { "** below", "x.any.test", "A", "allow rule allow **.any.test" },
	      { "** deep below", "a.b.c.d.any.test", "A", "allow rule allow **.any.test" },
	      { "** is never the apex", "any.test", "A", "nodata no rule" },
	      { "** and a lookalike", "xany.test", "A", "nxdomain no rule" },
	      { "* is one label", "x.one.test", "A", "allow rule allow *.one.test" },
	      { "* is not two labels", "x.y.one.test", "A", "nxdomain no rule" },
	      { "* is never the apex", "one.test", "A", "nodata no rule" },
	      { "* may be any octets", "\\000\\046\\255.one.test", "A",
	        "allow rule allow *.one.test" },
	      { "* as a question", "*.one.test", "A", "allow rule allow *.one.test" },
	      { "a zone is its apex", "zone.test", "A", "allow rule allow zone zone.test" },
	      { "a zone is below", "x.zone.test", "A", "allow rule allow zone zone.test" },
	      { "a zone is deep below", "a.b.c.zone.test", "A", "allow rule allow zone zone.test" },
	      { "a zone and a lookalike", "xzone.test", "A", "nxdomain no rule" },
	      { "* inside a label", "api-7.cdn.test", "A", "allow rule allow api-*.cdn.test" },
	      { "* is at least one octet", "api-.cdn.test", "A", "nxdomain no rule" },
	      { "* inside a label ends with it", "api-7.x.cdn.test", "A", "nxdomain no rule" },
	      { "* in front", "web-api.cdn.test", "A", "allow rule allow *-api.cdn.test" },
	      { "* in front is one octet at least", "-api.cdn.test", "A", "nxdomain no rule" },
	      { "equal ranks of one kind: the first in the text", "api-x-api.cdn.test", "A",
	        "allow rule allow api-*.cdn.test" },
	      { "two stars", "a1b2c.cdn.test", "A", "allow rule allow a*b*c.cdn.test" },
	      { "two stars, letters again and again", "abbbcbc.cdn.test", "A",
	        "allow rule allow a*b*c.cdn.test" },
	      { "two stars, the second empty", "a1bc.cdn.test", "A", "nxdomain no rule" },
	      { "two stars, the first empty", "ab1c.cdn.test", "A", "nxdomain no rule" },
	      { "two stars, letters overlap", "abc.cdn.test", "A", "nxdomain no rule" },
	      { "two stars, no end", "a1b2.cdn.test", "A", "nxdomain no rule" },
	      { "case inside a star label", "API-X.CDN.test", "A",
	        "allow rule allow api-*.cdn.test" },
	      { "two labels of stars", "x.y.two.test", "A", "allow rule allow *.*.two.test" },
	      { "one of them missing, but something below", "y.two.test", "A", "nodata no rule" },
	      { "one too many", "w.x.y.two.test", "A", "nxdomain no rule" },
	      { "a fixed label among stars", "x.mid.y.three.test", "A",
	        "allow rule allow *.mid.*.three.test" },
	      { "another label there", "x.dim.y.three.test", "A", "nxdomain no rule" },
	      { "above the fixed label", "mid.y.three.test", "A", "nodata no rule" },
	      { "above another label", "dim.y.three.test", "A", "nxdomain no rule" },
	      { "above both", "y.three.test", "A", "nodata no rule" },
	      { "** and a star label", "x.api-1.deep.test", "A",
	        "allow rule allow **.api-*.deep.test" },
	      { "** and a star label, deeper", "w.x.api-1.deep.test", "A",
	        "allow rule allow **.api-*.deep.test" },
	      { "** wants one label more", "api-1.deep.test", "A", "nodata no rule" },
	      { "another label beside the star label", "x.web-1.deep.test", "A",
	        "nxdomain no rule" },
	      { "above the star label", "deep.test", "A", "nodata no rule" },
	      { "in the star label's place, no match", "anything.deep.test", "A",
	        "nxdomain no rule" },
	  } },
	{ "the most specific wins",
	  PROFILE("    allow:\n"
	          "      - zone: a.test\n"
	          "      - name: '**.b.a.test'\n"
	          "      - name: '*.b.a.test'\n"
	          "      - name: 'x*.b.a.test'\n"
	          "      - name: 'xy*.b.a.test'\n"
	          "      - name: '*z.b.a.test'\n"
	          "      - name: xyz.b.a.test\n"
	          "      - name: '*.c.*.a.test'\n"
	          "      - name: '**.k*.e.test'\n"
	          "      - name: '*.k*.e.test'\n"
	          "      - zone: e.test\n"
	          "      - name: '**.e.test'\n"
	          "      - zone: f.test\n"
	          "      - name: '**.g.f.test'\n"),
	  { NULL },
	  {
	      { "exact before stars", "xyz.b.a.test", "A", "allow rule allow xyz.b.a.test" },
	      { "more literal octets", "xya.b.a.test", "A", "allow rule allow xy*.b.a.test" },
	      { "equal literals: the first in the text", "xaz.b.a.test", "A",
	        "allow rule allow x*.b.a.test" },
	      { "two literals before one", "xyaz.b.a.test", "A", "allow rule allow xy*.b.a.test" },
	      { "one literal before none", "az.b.a.test", "A", "allow rule allow *z.b.a.test" },
	      { "* before **", "aa.b.a.test", "A", "allow rule allow *.b.a.test" },
	      { "** where * does not reach", "a.a.b.a.test", "A", "allow rule allow **.b.a.test" },
	      { "the apex of ** falls to the zone above", "b.a.test", "A",
	        "allow rule allow zone a.test" },
	      { "the longer suffix before the star", "x.c.b.a.test", "A",
	        "allow rule allow **.b.a.test" },
	      { "stars before the zone of the same suffix", "x.c.d.a.test", "A",
	        "allow rule allow *.c.*.a.test" },
	      { "the zone where no star matches", "x.d.d.a.test", "A",
	        "allow rule allow zone a.test" },
	      { "* labels before ** with labels", "x.k1.e.test", "A",
	        "allow rule allow *.k*.e.test" },
	      { "** with literals before the zone", "x.x.k1.e.test", "A",
	        "allow rule allow **.k*.e.test" },
	      { "zone and ** tie: the first in the text", "x.e.test", "A",
	        "allow rule allow zone e.test" },
	      { "apex of the zone", "e.test", "A", "allow rule allow zone e.test" },
	      { "a longer ** before a zone", "x.g.f.test", "A", "allow rule allow **.g.f.test" },
	      { "the zone takes the **'s apex", "g.f.test", "A", "allow rule allow zone f.test" },
	  } },
	{ "denies",
	  PROFILE("    allow:\n"
	          "      - zone: a.test\n"
	          "      - name: tie.b.test\n"
	          "      - name: '*.b.test'\n"
	          "      - name: good.evil.a.test\n"
	          "      - name: 'q*.c.test'\n"
	          "      - zone: d.test\n"
	          "      - name: deep.x.e.test\n"
	          "    deny:\n"
	          "      - zone: evil.a.test\n"
	          "      - name: tie.b.test\n"
	          "      - name: '*.tie2.b.test'\n"
	          "      - name: '*q.c.test'\n"
	          "      - name: '**.d.test'\n"
	          "      - name: exact.a.test\n"
	          "      - zone: e.test\n"
	          "      - name: '*.star.a.test'\n"
	          "      - {name: typed.a.test, types: [TXT, AAAA]}\n"
	          "      - {zone: half.a.test, types: AAAA}\n"),
	  { NULL },
	  {
	      { "a deny of a zone", "evil.a.test", "A", "nodata rule deny zone evil.a.test" },
	      { "and below", "x.evil.a.test", "A", "nxdomain rule deny zone evil.a.test" },
	      { "an exact allow below it", "good.evil.a.test", "A",
	        "allow rule allow good.evil.a.test" },
	      { "below the exact allow", "x.good.evil.a.test", "A",
	        "nxdomain rule deny zone evil.a.test" },
	      { "beside it", "a.test", "A", "allow rule allow zone a.test" },
	      { "a tie: deny wins", "tie.b.test", "A", "nxdomain rule deny tie.b.test" },
	      { "the neighbour", "x.b.test", "A", "allow rule allow *.b.test" },
	      { "a tie of different stars, two octets", "qq.c.test", "A",
	        "nxdomain rule deny *q.c.test" },
	      { "one octet is not enough for either", "q.c.test", "A", "nxdomain no rule" },
	      { "a tie of different stars, both match", "qaq.c.test", "A",
	        "nxdomain rule deny *q.c.test" },
	      { "only the allow matches", "qa.c.test", "A", "allow rule allow q*.c.test" },
	      { "deny ** ties with the zone", "x.d.test", "A", "nxdomain rule deny **.d.test" },
	      { "deny ** leaves the apex", "d.test", "A", "allow rule allow zone d.test" },
	      { "an exact deny", "exact.a.test", "A", "nodata rule deny exact.a.test" },
	      { "below an exact deny", "x.exact.a.test", "A", "allow rule allow zone a.test" },
	      { "a longer allow below a denied zone", "deep.x.e.test", "A",
	        "allow rule allow deep.x.e.test" },
	      { "denied above an allowed name", "x.e.test", "A", "nodata rule deny zone e.test" },
	      { "denied beside an allowed name", "y.e.test", "A",
	        "nxdomain rule deny zone e.test" },
	      { "denied, top of all", "e.test", "A", "nodata rule deny zone e.test" },
	      { "a star deny", "x.star.a.test", "A", "nodata rule deny *.star.a.test" },
	      { "deeper than the star", "y.x.star.a.test", "A", "allow rule allow zone a.test" },
	      { "the star's apex", "star.a.test", "A", "allow rule allow zone a.test" },
	      { "a denied type is never NXDOMAIN", "typed.a.test", "TXT",
	        "nodata rule deny typed.a.test" },
	      { "another denied type", "typed.a.test", "AAAA", "nodata rule deny typed.a.test" },
	      { "a type that the deny does not name", "typed.a.test", "A",
	        "allow rule allow zone a.test" },
	      { "a deny of a zone's type", "x.half.a.test", "AAAA",
	        "nodata rule deny zone half.a.test" },
	      { "its other types", "x.half.a.test", "A", "allow rule allow zone a.test" },
	      { "an allow that lacks the type anyway", "x.half.a.test", "TXT",
	        "nodata type allow zone a.test" },
	  } },
	{ "final",
	  PROFILE("    allow:\n"
	          "      - name: x.a.test\n"
	          "      - name: y.x.a.test\n"
	          "      - zone: b.test\n"
	          "      - name: '*.c.test'\n"
	          "      - name: s.d.test\n"
	          "    deny:\n"
	          "      - {zone: a.test, final: true}\n"
	          "      - {name: z.b.test, final: true}\n"
	          "      - {name: '*.c.test', final: true, types: [AAAA]}\n"
	          "      - {name: s.d.test, final: false}\n"
	          "      - {name: '**.b.test', final: true, types: TXT}\n"),
	  { NULL },
	  {
	      { "beats an exact allow", "x.a.test", "A", "nxdomain rule deny zone a.test" },
	      { "however deep", "y.x.a.test", "A", "nxdomain rule deny zone a.test" },
	      { "its apex", "a.test", "A", "nxdomain rule deny zone a.test" },
	      { "an exact final deny", "z.b.test", "A", "nodata rule deny z.b.test" },
	      { "beside it", "y.b.test", "A", "allow rule allow zone b.test" },
	      { "below it", "y.z.b.test", "A", "allow rule allow zone b.test" },
	      { "final for its types", "x.c.test", "AAAA", "nodata rule deny *.c.test" },
	      { "and only those", "x.c.test", "A", "allow rule allow *.c.test" },
	      { "final: false is a deny like others", "s.d.test", "A",
	        "nxdomain rule deny s.d.test" },
	      { "the strongest final one is named", "z.b.test", "TXT",
	        "nodata rule deny z.b.test" },
	      { "a final of another type", "y.b.test", "TXT", "nodata rule deny **.b.test" },
	      { "DS above what a final deny covers", "a.test", "DS",
	        "nxdomain rule deny zone a.test" },
	  } },
	{ "types",
	  PROFILE("    allow:\n"
	          "      - name: d.test\n"
	          "      - {name: txt.test, types: [A, TXT]}\n"
	          "      - {name: one.test, types: MX}\n"
	          "      - {name: t.test, types: [TYPE65280, NULL]}\n"
	          "      - {zone: z.test, types: [A]}\n"
	          "      - {name: n.z.test, types: [AAAA]}\n"),
	  { NULL },
	  {
	      { "A", "d.test", "A", "allow rule allow d.test" },
	      { "AAAA", "d.test", "AAAA", "allow rule allow d.test" },
	      { "CNAME", "d.test", "CNAME", "allow rule allow d.test" },
	      { "HTTPS", "d.test", "HTTPS", "allow rule allow d.test" },
	      { "SVCB", "d.test", "SVCB", "allow rule allow d.test" },
	      { "SRV", "d.test", "SRV", "allow rule allow d.test" },
	      { "MX", "d.test", "MX", "allow rule allow d.test" },
	      { "NS", "d.test", "NS", "allow rule allow d.test" },
	      { "SOA", "d.test", "SOA", "allow rule allow d.test" },
	      { "DS", "d.test", "DS", "allow rule allow d.test" },
	      { "DNSKEY", "d.test", "DNSKEY", "allow rule allow d.test" },
	      { "CAA", "d.test", "CAA", "allow rule allow d.test" },
	      { "PTR", "d.test", "PTR", "allow rule allow d.test" },
	      { "NAPTR", "d.test", "NAPTR", "allow rule allow d.test" },
	      { "TXT must be named", "d.test", "TXT", "nodata type allow d.test" },
	      { "NULL must be named", "d.test", "TYPE10", "nodata type allow d.test" },
	      { "private types must be named", "d.test", "TYPE65280", "nodata type allow d.test" },
	      { "a list replaces the usual ones", "txt.test", "AAAA",
	        "nodata type allow txt.test" },
	      { "TXT named", "txt.test", "TXT", "allow rule allow txt.test" },
	      { "one type without a list", "one.test", "MX", "allow rule allow one.test" },
	      { "and no other", "one.test", "A", "nodata type allow one.test" },
	      { "a type by number", "t.test", "TYPE65280", "allow rule allow t.test" },
	      { "NULL named", "t.test", "TYPE10", "allow rule allow t.test" },
	      { "the winner alone decides", "n.z.test", "A", "nodata type allow n.z.test" },
	      { "beside it", "m.z.test", "A", "allow rule allow zone z.test" },
	      { "a type that nobody has", "m.z.test", "AAAA", "nodata type allow zone z.test" },
	  } },
	{ "inheritance",
	  HEAD "profiles:\n"
	       "  b0: {allow: [{name: far.test, owner: b0}, {name: same.test, owner: b0}]}\n"
	       "  b1:\n"
	       "    extends: [b0]\n"
	       "    denied: refused\n"
	       "    allow: [{name: same.test, owner: b1}, {zone: one.test}, {name: kind.test}]\n"
	       "    deny: [{name: b1deny.test}, {name: owndeny.test}]\n"
	       "    feeds: [f]\n"
	       "  b2:\n"
	       "    allow: [{name: same.test, owner: b2}, {zone: one.test, types: [TXT]},\n"
	       "            {name: x.one.test}]\n"
	       "    deny: [{name: kind.test}]\n"
	       "  p:\n"
	       "    extends: [b1, b2]\n"
	       "    allow: [{name: own.test}, {name: b1deny.test}, {zone: sub.one.test}]\n"
	       "    deny: [{zone: own2.test}]\n"
	       "  q: {denied: nodata}\n"
	       "feeds: {f: {file: f, format: domains}}\n",
	  { "f", "listed.one.test\n", NULL },
	  {
	      { "own", "own.test", "A", "allow rule allow own.test" },
	      { "inherited", "far.test", "A", "allow rule allow far.test" },
	      { "later extends before earlier", "y.one.test", "TXT",
	        "allow rule allow zone one.test" },
	      { "later extends before earlier, types too", "y.one.test", "A",
	        "nodata type allow zone one.test" },
	      { "the more specific wins wherever it stands", "x.one.test", "A",
	        "allow rule allow x.one.test" },
	      { "own zone below an inherited one", "a.sub.one.test", "A",
	        "allow rule allow zone sub.one.test" },
	      { "an inherited deny ties with an own allow", "b1deny.test", "A",
	        "refused rule deny b1deny.test" },
	      { "deny of a later, allow of an earlier base", "kind.test", "A",
	        "refused rule deny kind.test" },
	      { "denied is inherited", "nothing.test", "A", "refused no rule" },
	      { "own deny", "x.own2.test", "A", "refused rule deny zone own2.test" },
	      { "feeds are inherited", "x.listed.one.test", "TXT", "refused feed f" },
	      { "below is allowed: NODATA even for refused", "test", "A", "nodata no rule" },
	  } },
	{ "feeds",
	  PROFILE("    allow:\n"
	          "      - name: exact.bad.test\n"
	          "      - zone: bad.test\n"
	          "      - name: '*.star.test'\n"
	          "      - zone: rpz.test\n"
	          "      - {name: typed.bad.test, types: [A]}\n"
	          "      - name: tie.bad.test\n"
	          "    deny:\n"
	          "      - name: denied.bad.test\n"
	          "      - name: tie.bad.test\n"
	          "      - {name: fin.bad.test, final: true}\n"
	          "    feeds: [dom, hos, rpz]\n") "feeds:\n"
	                                          "  dom: {file: d, format: domains}\n"
	                                          "  hos: {file: h, format: hosts}\n"
	                                          "  rpz: {file: r, format: rpz}\n"
	                                          "  off: {file: o, format: domains}\n",
	  { "dom", "bad.test\n*.onlybelow.rpz.test\nUPPER.rpz.test.\n", "hos",
	    "0.0.0.0 x.star.test localhost\n::1 y.star.test z.star.test # more\n", "rpz",
	    "$TTL 60\n@ SOA a. b. (1\n 2\n 3 4 5)\n NS a.\nex.rpz.test CNAME .\n"
	    "*.below.rpz.test CNAME *.\nok.below.rpz.test CNAME rpz-passthru.\n"
	    "*.pass.below.rpz.test CNAME rpz-passthru.\nlocal.rpz.test A 192.0.2.9\n"
	    "drop.rpz.test CNAME rpz-drop.\ntcp.rpz.test CNAME rpz-tcp-only.\n"
	    "8.2.0.192.rpz-ip CNAME .\n",
	    "off", "rpz.test\nexample.test\n", NULL },
	  {
	      { "domains: the name", "bad.test", "A", "nodata feed dom" },
	      { "domains: below", "x.bad.test", "A", "nxdomain feed dom" },
	      { "an exact allow passes", "exact.bad.test", "A", "allow rule allow exact.bad.test" },
	      { "below the exact allow", "x.exact.bad.test", "A", "nxdomain feed dom" },
	      { "an exact allow without the type", "typed.bad.test", "AAAA",
	        "nodata type allow typed.bad.test" },
	      { "a feed is named before a deny", "denied.bad.test", "A", "nxdomain feed dom" },
	      { "an exact allow that lost does not pass", "tie.bad.test", "A",
	        "nxdomain feed dom" },
	      { "a final deny is named before a feed", "fin.bad.test", "A",
	        "nxdomain rule deny fin.bad.test" },
	      { "domains: *. is below only", "x.onlybelow.rpz.test", "A", "nxdomain feed dom" },
	      { "domains: *. is not the name", "onlybelow.rpz.test", "A",
	        "allow rule allow zone rpz.test" },
	      { "domains: case and final dot", "a.upper.rpz.test", "A", "nxdomain feed dom" },
	      { "hosts: exact", "x.star.test", "A", "nxdomain feed hos" },
	      { "hosts: a second name of a line", "z.star.test", "A", "nxdomain feed hos" },
	      { "hosts: not below", "w.star.test", "A", "allow rule allow *.star.test" },
	      { "rpz: exact", "ex.rpz.test", "A", "nodata feed rpz" },
	      { "rpz: not below", "x.ex.rpz.test", "A", "allow rule allow zone rpz.test" },
	      { "rpz: *. is below (NODATA, for the feed has exceptions)", "x.below.rpz.test", "A",
	        "nodata feed rpz" },
	      { "rpz: *. is deep below", "y.x.below.rpz.test", "A", "nodata feed rpz" },
	      { "rpz: *. is not the name", "below.rpz.test", "A",
	        "allow rule allow zone rpz.test" },
	      { "rpz: passthru", "ok.below.rpz.test", "A", "allow rule allow zone rpz.test" },
	      { "rpz: passthru below", "x.pass.below.rpz.test", "A",
	        "allow rule allow zone rpz.test" },
	      { "rpz: passthru below is not the name", "pass.below.rpz.test", "A",
	        "nodata feed rpz" },
	      { "rpz: local data blocks", "local.rpz.test", "A", "nodata feed rpz" },
	      { "rpz: drop blocks", "drop.rpz.test", "A", "nodata feed rpz" },
	      { "rpz: tcp-only says nothing", "tcp.rpz.test", "A",
	        "allow rule allow zone rpz.test" },
	      { "DS of a listed name above an allowed one", "bad.test", "DS", "allow ancestor" },
	  } },
	{ "ancestors",
	  PROFILE("    allow:\n"
	          "      - {name: a.b.c.test, types: [A]}\n"
	          "      - {zone: z.d.test, types: [A]}\n"
	          "      - {name: '*.s.e.test', types: [A]}\n"
	          "      - {name: old.f.test, expires: 2020-01-01}\n"
	          "    deny:\n"
	          "      - name: b.c.test\n"
	          "      - zone: d.test\n"),
	  { NULL },
	  {
	      { "DS of the parent", "b.c.test", "DS", "allow ancestor" },
	      { "DNSKEY of the parent", "b.c.test", "DNSKEY", "allow ancestor" },
	      { "DS of the top", "test", "DS", "allow ancestor" },
	      { "DNSKEY of the root", ".", "DNSKEY", "allow ancestor" },
	      { "other types of the parent", "b.c.test", "A", "nodata rule deny b.c.test" },
	      { "NS of an ancestor", "test", "NS", "nodata no rule" },
	      { "the name itself is not above itself", "a.b.c.test", "DS",
	        "nodata type allow a.b.c.test" },
	      { "a name below is not an ancestor", "x.a.b.c.test", "DS", "nxdomain no rule" },
	      { "a zone's fixed suffix", "z.d.test", "DS", "allow ancestor" },
	      { "above the zone", "d.test", "DNSKEY", "allow ancestor" },
	      { "below the zone: the asker's own label", "x.z.d.test", "DS",
	        "nodata type allow zone z.d.test" },
	      { "a pattern's fixed suffix", "s.e.test", "DS", "allow ancestor" },
	      { "a pattern's star label", "x.s.e.test", "DS", "nodata type allow *.s.e.test" },
	      { "a name that is above nothing", "x.test", "DS", "nxdomain no rule" },
	      { "above a rule that has expired", "f.test", "DS", "nxdomain no rule" },
	  } },
	{ "expiry",
	  PROFILE("    allow:\n"
	          "      - {name: old.test, expires: 2020-01-01}\n"
	          "      - {name: new.test, expires: 2030-01-01}\n"
	          "      - {name: now.test, expires: '2027-01-15T08:00:00Z'}\n"
	          "      - {name: soon.test, expires: '2027-01-15T08:00:01Z'}\n"
	          "      - zone: z.test\n"
	          "      - {name: x.z.test, types: [TXT], expires: 2020-01-01}\n"
	          "      - {name: under.old2.test, expires: 2020-01-01}\n"
	          "    deny:\n"
	          "      - {name: d.z.test, expires: 2020-01-01}\n"
	          "      - {name: e.z.test, expires: 2030-01-01}\n"
	          "      - {name: only.test, expires: 2020-01-01}\n"),
	  { NULL },
	  {
	      { "expired", "old.test", "A", "nxdomain expired allow old.test" },
	      { "not yet", "new.test", "A", "allow rule allow new.test" },
	      { "the very second", "now.test", "A", "nxdomain expired allow now.test" },
	      { "one second more", "soon.test", "A", "allow rule allow soon.test" },
	      { "an expired rule leaves the next one", "x.z.test", "A",
	        "allow rule allow zone z.test" },
	      { "an expired deny denies no more", "d.z.test", "A", "allow rule allow zone z.test" },
	      { "a live deny does", "e.z.test", "A", "nodata rule deny e.z.test" },
	      { "an expired deny alone is no rule", "only.test", "A", "nxdomain no rule" },
	      { "above an expired allow", "old2.test", "A", "nxdomain no rule" },
	  } },
	{ "observe",
	  PROFILE("    mode: observe\n"
	          "    allow: [{name: a.test}]\n"
	          "    deny: [{name: b.test}, {name: c.test, final: true},\n"
	          "           {zone: e.d.test, final: true}]\n"
	          "    feeds: [f]\n") "feeds: {f: {file: f, format: domains}}\n",
	  { "f", "d.test\n", NULL },
	  {
	      { "allowed anyway", "a.test", "A", "allow rule allow a.test" },
	      { "no rule", "x.test", "A", "observe no rule" },
	      { "a deny", "b.test", "A", "observe rule deny b.test" },
	      { "a final deny", "c.test", "A", "observe rule deny c.test" },
	      { "a type", "a.test", "TXT", "observe type allow a.test" },
	      { "a feed stays enforced", "x.d.test", "A", "nxdomain feed f" },
	  } },
	{ "nothing and everything",
	  PROFILE("    allow:\n"
	          "      - zone: .\n"
	          "    deny:\n"
	          "      - name: '*'\n"
	          "      - name: '**.x.test'\n"),
	  { NULL },
	  {
	      { "the root", ".", "NS", "allow rule allow zone ." },
	      { "any name", "a.b.c.test", "A", "allow rule allow zone ." },
	      { "every top denied by *", "test", "A", "nodata rule deny *" },
	      { "and another", "example", "A", "nodata rule deny *" },
	      { "a longer suffix", "y.x.test", "A", "nxdomain rule deny **.x.test" },
	  } },
	{ "all below the root",
	  PROFILE("    allow: [{name: '**'}]\n"),
	  { NULL },
	  {
	      { "a top", "test", "A", "allow rule allow **" },
	      { "a name", "a.b.test", "A", "allow rule allow **" },
	      { "not the root", ".", "A", "nodata no rule" },
	  } },
	{ "an empty profile",
	  PROFILE("    denied: nodata\n"),
	  { NULL },
	  {
	      { "a name", "a.test", "A", "nodata no rule" },
	      { "DS of the root", ".", "DS", "nodata no rule" },
	  } },
	{ "long names",
	  PROFILE("    allow:\n"
	          "      - zone: " L63 ".test\n"
	          "      - name: " L63 "." L63 "." L63 "." L61 "\n"
	          "      - name: '*." L63 "." L63 "." L62 "'\n"
	          "      - name: '**.i.test'\n"),
	  { NULL },
	  {
	      { "255 octets", L63 "." L63 "." L63 "." L61, "A",
	        "allow rule allow " L63 "." L63 "." L63 "." L61 },
	      { "255 octets that nobody allows", L63 "." L63 "." L62 "x." L61, "A",
	        "nxdomain no rule" },
	      { "a star label of 60 octets", L61 "." L63 "." L63 "." L62, "A",
	        "allow rule allow *." L63 "." L63 "." L62 },
	      { "a label of 63", L63 ".test", "A", "allow rule allow zone " L63 ".test" },
	      { "127 labels",
	        TEN("a.") TEN("a.") TEN("a.") TEN("a.") TEN("a.") TEN("a.") TEN("a.") TEN("a.")
	            TEN("a.") TEN("a.") TEN("a.") TEN("a.") "a.a.a.a.a.a.a",
	        "A", "nxdomain no rule" },
	      { "125 labels below a suffix",
	        TEN("a.") TEN("a.") TEN("a.") TEN("a.") TEN("a.") TEN("a.") TEN("a.") TEN("a.")
	            TEN("a.") TEN("a.") TEN("a.") TEN("a.") "a.a.a.i.test",
	        "A", "allow rule allow **.i.test" },
	  } },
	{ "escaped and binary labels, U-labels",
	  PROFILE("    allow:\n"
	          "      - name: 'a\\.b.test'\n"
	          "      - name: '\\000\\255.test'\n"
	          "      - name: '\\*.star.test'\n"
	          "      - name: 'x\\*y.star.test'\n"
	          "      - name: b\xc3\xbc"
	          "cher.test\n"
	          "      - zone: \xce\xb4\xce\xbf\xce\xba\xce\xb9\xce\xbc\xce\xae.test\n"
	          "      - name: '*.m\xc3\xbcnchen.test'\n"
	          "      - name: xn--strae-oqa.test\n"
	          "      - name: B\xc3\x9c"
	          "CHER.example\n"),
	  { NULL },
	  {
	      { "an escaped dot", "a\\.b.test", "A", "allow rule allow a\\.b.test" },
	      { "is not two labels", "a.b.test", "A", "nxdomain no rule" },
	      { "by number", "a\\046b.test", "A", "allow rule allow a\\.b.test" },
	      { "binary", "\\000\\255.test", "A", "allow rule allow \\000\\255.test" },
	      { "other binary", "\\000\\254.test", "A", "nxdomain no rule" },
	      { "an escaped star is a star", "*.star.test", "A", "allow rule allow \\*.star.test" },
	      { "and nothing else", "a.star.test", "A", "nxdomain no rule" },
	      { "an escaped star inside", "x*y.star.test", "A",
	        "allow rule allow x\\*y.star.test" },
	      { "and nothing else inside", "xay.star.test", "A", "nxdomain no rule" },
	      { "a U-label", "xn--bcher-kva.test", "A",
	        "allow rule allow b\xc3\xbc"
	        "cher.test" },
	      { "its A-label in capitals", "XN--BCHER-KVA.test", "A",
	        "allow rule allow b\xc3\xbc"
	        "cher.test" },
	      { "a zone in Greek", "www.xn--jxalpdlp.test", "A",
	        "allow rule allow zone \xce\xb4\xce\xbf\xce\xba\xce\xb9\xce\xbc\xce\xae.test" },
	      { "a star before a U-label", "a.xn--mnchen-3ya.test", "A",
	        "allow rule allow *.m\xc3\xbcnchen.test" },
	      { "an A-label as written", "xn--strae-oqa.test", "A",
	        "allow rule allow xn--strae-oqa.test" },
	      { "a U-label in capitals", "xn--bcher-kva.example", "A",
	        "allow rule allow B\xc3\x9c"
	        "CHER.example" },
	      { "raw UTF-8 in a question is other octets", "b\\195\\188cher.test", "A",
	        "nxdomain no rule" },
	  } },
};

static void the_verdict_is_the_designs(void **state)
{
	size_t n_rows = 0, n_wrong = 0;

	(void)state;
	for (size_t g = 0; g < ARRAY_LEN(groups); g++) {
		const struct group *group = &groups[g];
		struct fixture f;

		fixture_open(&f, group->policy, group->feeds);
		for (size_t i = 0; group->rows[i].title; i++) {
			const struct row *row = &group->rows[i];
			char got[FIXTURE_TEXT_LEN];
			struct verdict v;

			fixture_judge(&f, row->name, row->type, &v);
			fixture_verdict(&f, &v, got);
			n_rows++;
			if (strcmp(got, row->want) == 0)
				continue;
			n_wrong++;
			print_error("%s: %s (%s %s)\n   got  %s\n   want %s\n", group->about,
			            row->title, row->name, row->type, got, row->want);
		}
		fixture_close(&f);
	}
	print_message("%zu cases\n", n_rows);
	assert_true(n_rows >= 150);
	assert_int_equal(n_wrong, 0);
}

static void what_is_not_there_is_denied(void **state)
{
	struct fixture f;
	struct verdict v;
	uint8_t wire[NAME_MAX_WIRE];

	(void)state;
	fixture_open(&f, PROFILE("    allow: [{zone: .}]\n"), NULL);
	fixture_name("a.test", wire);
	policy_judge(&f.image, 1, wire, 1, FIXTURE_NOW, &v);
	assert_int_equal(v.kind, VERDICT_DENY);
	assert_int_equal(v.reason, REASON_NO_WORKLOAD);
	policy_judge(&f.image, POLICY_NONE, wire, 1, FIXTURE_NOW, &v);
	assert_int_equal(v.kind, VERDICT_DENY);
	assert_int_equal(v.rule, POLICY_NONE);
	fixture_close(&f);
}

static void an_allow_carries_what_the_rule_says(void **state)
{
	struct fixture f;
	struct verdict v;

	(void)state;
	fixture_open(
	    &f,
	    PROFILE("    allow:\n"
	            "      - {name: a.test, follow: any, require: [dnssec], internal: true}\n"
	            "      - {name: b.test, follow: none}\n"
	            "      - {name: c.test}\n"),
	    NULL);
	fixture_judge(&f, "a.test", "A", &v);
	assert_int_equal(v.follow, POLICY_FOLLOW_ANY);
	assert_true(v.internal);
	assert_true(v.require_dnssec);
	fixture_judge(&f, "b.test", "A", &v);
	assert_int_equal(v.follow, POLICY_FOLLOW_NONE);
	assert_false(v.internal);
	assert_false(v.require_dnssec);
	fixture_judge(&f, "c.test", "A", &v);
	assert_int_equal(v.follow, POLICY_FOLLOW_CHAIN);
	fixture_close(&f);
}

static void allows_below_sees_the_name_and_all_below(void **state)
{
	static const struct {
		const char *title, *name;
		bool want;
	} rows[] = {
		{ "the allowed name", "a.b.test", true },
		{ "above it", "b.test", true },
		{ "the root", ".", true },
		{ "below it", "x.a.b.test", false },
		{ "in an allowed zone", "x.y.z.test", true },
		{ "in a zone denied inside it", "x.evil.z.test", false },
		{ "the denied zone", "evil.z.test", false },
		{ "an exact deny inside it", "ex.z.test", true },
		{ "elsewhere", "other.test", false },
		{ "in a final zone", "fin.test", false },
	};
	struct fixture f;

	(void)state;
	fixture_open(&f,
	             PROFILE("    allow: [{name: a.b.test}, {zone: z.test}, {name: x.fin.test}]\n"
	                     "    deny: [{zone: evil.z.test}, {name: ex.z.test},\n"
	                     "           {zone: fin.test, final: true}]\n"),
	             NULL);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t wire[NAME_MAX_WIRE];

		fixture_name(rows[i].name, wire);
		if (policy_allows_below(&f.image, 0, wire) != rows[i].want)
			fail_msg("%s", rows[i].title);
	}
	fixture_close(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_verdict_is_the_designs),
		cmocka_unit_test(what_is_not_there_is_denied),
		cmocka_unit_test(an_allow_carries_what_the_rule_says),
		cmocka_unit_test(allows_below_sees_the_name_and_all_below),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
