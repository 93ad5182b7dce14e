/* What the verbs ask of the keeper, and how they show what it says. */
#include "run.h"

#include "json.h"
#include "sallyport/err.h"

#define STATUS                                                                                     \
	"{\"version\":\"0.1.0\",\"pid\":12,\"uptime_s\":3700,\"policy_version\":3,"                \
	"\"policy_applied\":3,\"workers\":2,\"roles\":["                                           \
	"{\"role\":\"resolver\",\"pid\":13,\"state\":\"running\",\"restarts\":1,"                  \
	"\"since\":\"2026-11-23T08:00:00.000000Z\"}],\"counters\":{\"answers\":7400,"              \
	"\"denied\":0},\"limits_hit\":{\"limit_chain\":2},\"pinholes\":{\"open\":4,"               \
	"\"ledger_size\":100},\"listeners\":[\"192.0.2.1:53\"],\"upstreams\":[\". 192.0.2.53\"],"  \
	"\"history\":{\"backlog_records\":5},\"warnings\":[\"guard: \\u001B[2J\"]}"

#define EXPLAINED                                                                                  \
	"{\"workload\":\"app01\",\"profile\":\"app\",\"name\":\"evil.test.\",\"type\":\"A\","      \
	"\"verdict\":\"deny\",\"reason\":\"rule\",\"rule\":\"deny zone evil.test\","               \
	"\"rule_line\":11,\"feed\":null,\"policy_version\":3,\"denied\":\"nxdomain\","             \
	"\"rcode_if_denied\":\"NXDOMAIN\",\"ports\":[],\"follow\":null,\"internal\":false,"        \
	"\"require_dnssec\":false,\"observed\":false,\"zone\":\".\",\"special\":null,"             \
	"\"hosts\":[],\"considered\":[{\"rule\":\"deny zone evil.test\",\"verdict\":\"deny\","     \
	"\"why\":\"it won\",\"line\":11,\"profile\":\"app\",\"owner\":\"sec\"},"                   \
	"{\"feed\":\"malware\",\"verdict\":\"deny\",\"why\":\"weaker\"}]}"

#define STEP(kind, rest) "{\"step\":\"" kind "\"," rest "}"
#define BOGUS                                                                                                                                                                                                                                                                                                     \
	"{\"workload\":\"app01\",\"profile\":\"app\",\"name\":\"bad.test.\",\"type\":\"A\","                                                                                                                                                                                                                      \
	"\"verdict\":\"allow\",\"reason\":\"rule\",\"policy_version\":3,\"considered\":[],"                                                                                                                                                                                                                       \
	"\"dnssec\":"                                                                                                                                                                                                                                                                                             \
	"{\"outcome\":\"bogus\",\"state\":\"bogus\",\"rcode\":\"SERVFAIL\",\"ede\":7,\"cut\":"                                                                                                                                                                                                                    \
	"true,"                                                                                                                                                                                                                                                                                                   \
	"\"text\":\"bad.test. A: the signature has expired\",\"links\":[{\"name\":\"bad.test.\","                                                                                                                                                                                                                 \
	"\"type\":\"A\",\"kind\":\"data\",\"target\":null,\"upstream\":\"192.0.2.53\","                                                                                                                                                                                                                           \
	"\"attempt\":1,"                                                                                                                                                                                                                                                                                          \
	"\"state\":\"bogus\",\"why\":\"expired\",\"reason\":\"the signature has expired\","                                                                                                                                                                                                                       \
	"\"rfc\":\"RFC 4034, section 3.1.5\",\"zone\":null,\"tag\":null,\"steps\":[" STEP("asked", "\"name\":\"test.\",\"type\":\"DS\",\"answered\":true") "," STEP(                                                                                                                                              \
	    "signature",                                                                                                                                                                                                                                                                                          \
	    "\"name\":\"test.\",\"type\":\"DS\",\"signer\":\".\",\"tag\":7,"                                                                                                                                                                                                                                      \
	    "\"algorithm\":13,\"algorithm_name\":\"ECDSAP256SHA256\",\"verified\":true,"                                                                                                                                                                                                                          \
	    "\"inception\":\"2026-11-01T00:00:00.000000Z\","                                                                                                                                                                                                                                                      \
	    "\"expiration\":\"2026-12-01T00:00:00.000000Z\"") "," STEP("ds",                                                                                                                                                                                                                                      \
	                                                               "\"name\":\"test.\","                                                                                                                                                                                                                      \
	                                                               "\"type\":\"DS\",\"tag\":"                                                                                                                                                                                                                 \
	                                                               "9,\"algorithm\":200,"                                                                                                                                                                                                                     \
	                                                               "\"algorithm_name\":null,"                                                                                                                                                                                                                 \
	                                                               "\"digest\":2") "," STEP("proof",                                                                                                                                                                                                          \
	                                                                                        "\"name\":\"x.test.\",\"type\":\"NSEC3\",\"owner\":\"h.test.\","                                                                                                                                                  \
	                                                                                        "\"data\":\"1 0 0 - \\u001b\",\"fit\":\"covers\"") "," STEP("denial",                                                                                                                                             \
	                                                                                                                                                    "\"name\":\"x.test.\",\"type\":null,\"outcome\":\"unproven\"") "," STEP("trust",                                                                      \
	                                                                                                                                                                                                                            "\"name\":\"test.\",\"type\":\"DS\",\"outcome\":\"no cut\"") "," STEP("zone", \
	                                                                                                                                                                                                                                                                                                  "\"name\":\".\",\"type\":null,\"outcome\":\"secure\"") "]}]}}"

/* What a resolver that has been taken over may tell: a zone without a name, and the root below it.
 */
#define NAMELESS                                                                                   \
	"{\"workload\":\"app01\",\"name\":\"odd.test.\",\"type\":\"A\",\"verdict\":\"allow\","     \
	"\"considered\":[],\"dnssec\":{\"outcome\":\"answered\",\"state\":\"secure\",\"links\":["  \
	"{\"name\":\"odd.test.\",\"type\":\"A\",\"state\":\"secure\",\"steps\":["                  \
	"{\"step\":\"zone\",\"name\":null,\"outcome\":\"secure\"},"                                \
	"{\"step\":\"zone\",\"name\":\"\",\"outcome\":\"secure\"},"                                \
	"{\"step\":\"key\",\"name\":null,\"tag\":1},"                                              \
	"{\"step\":\"zone\",\"name\":\".\",\"outcome\":\"secure\"}]}]}}"

static const struct script scripts[] = {
	{ "status ", { FRAME_DATA(STATUS), FRAME_EXIT("\0") } },
	{ "workload-list ",
	  { FRAME_DATA("{\"workload\":\"app01\",\"profile\":\"app\",\"mode\":\"observe\","
	               "\"sources\":[\"192.0.2.7\",\"2001:db8::7\"],"
	               "\"listeners\":[\"192.0.2.1\"],\"pinholes\":4}"),
	    FRAME_EXIT("\0") } },
	{ "profile-list ",
	  { FRAME_DATA(
		"{\"profile\":\"app\",\"mode\":\"enforce\",\"denied\":\"nxdomain\",\"allow\":3,"
		"\"deny\":1,\"feeds\":[\"malware\"],\"workloads\":2,\"pinhole\":{\"floor_s\":30,"
		"\"grace_s\":60,\"max_s\":3600,\"addresses\":64,\"per_workload\":4096}}"),
	    FRAME_EXIT("\0") } },
	{ "pinholes ",
	  { FRAME_DATA(
		"{\"workload\":\"app01\",\"source\":\"192.0.2.7\",\"destination\":\"192.0.2.80\","
		"\"proto\":\"tcp\",\"port\":443,\"name\":\"www.test.\",\"chain\":[\"cdn.test.\"],"
		"\"rule\":\"allow www.test\",\"policy_version\":3,\"query_id\":77,"
		"\"opened\":\"2026-11-23T09:00:00.000000Z\",\"age_s\":61,"
		"\"expires\":\"2026-11-23T09:05:00.000000Z\",\"left_s\":239,"
		"\"use\":{\"flows\":12,\"packets\":null,\"octets\":null}}"),
	    FRAME_DATA(
		"{\"workload\":\"app01\",\"source\":\"192.0.2.7\",\"destination\":\"192.0.2.81\","
		"\"proto\":\"any\",\"port\":null,\"name\":\"x.test.\",\"chain\":[],"
		"\"rule\":null,\"policy_version\":3,\"query_id\":78,\"age_s\":1,\"left_s\":2,"
		"\"use\":null}"),
	    FRAME_EXIT("\0") } },
	{ "policy-versions ",
	  { FRAME_DATA("{\"version\":3,\"time\":\"2026-11-23T09:00:00.000000Z\",\"uid\":0,"
	               "\"user\":\"root\",\"file\":\"p.yaml\",\"comment\":\"why\",\"current\":true,"
	               "\"sha256\":\"0123456789abcdef\",\"rules\":4,\"workloads\":1}"),
	    FRAME_EXIT("\0") } },
	{ "policy-show 2 ",
	  { FRAME_DATA("{\"version\":2,\"time\":\"2026-11-22T09:00:00.000000Z\",\"uid\":0,"
	               "\"user\":null,\"file\":\"p.yaml\",\"comment\":\"\",\"text\":\"version: 1\\n"
	               "profiles: {app: {allow: [{name: a.test}]}}\\n\",\"feeds\":[]}"),
	    FRAME_EXIT("\0") } },
	{ "policy-show current ",
	  { FRAME_DATA(
		"{\"version\":3,\"time\":\"2026-11-23T09:00:00.000000Z\",\"uid\":0,"
		"\"user\":\"root\",\"file\":\"p.yaml\",\"comment\":\"why\",\"text\":\"version: 1\\n"
		"profiles: {app: {allow: [{name: b.test}]}}\\n\",\"feeds\":[]}"),
	    FRAME_EXIT("\0") } },
	{ "policy-show 9 ", { FRAME_ERROR("there is no version 9"), FRAME_EXIT("\2") } },
	{ "may policy-apply ", { FRAME_EXIT("\0") } },
	{ "policy-apply ",
	  { FRAME_ERROR("p.yaml:3:1: warning: something"),
	    FRAME_DATA("{\"policy_version\":4,\"rules\":1,\"workloads\":1,\"feed_names\":2,"
	               "\"seconds\":0.25}"),
	    FRAME_EXIT("\0") } },
	{ "policy-rollback 2 ",
	  { FRAME_DATA("{\"policy_version\":4,\"rules\":1,\"workloads\":0,\"feed_names\":0,"
	               "\"seconds\":0.5}"),
	    FRAME_EXIT("\0") } },
	{ "explain app01 evil.test ", { FRAME_DATA(EXPLAINED), FRAME_EXIT("\1") } },
	{ "explain app01 nothing.test ",
	  { FRAME_DATA(
		"{\"workload\":\"app01\",\"profile\":\"app\",\"name\":\"nothing.test.\","
		"\"type\":\"AAAA\",\"verdict\":\"allow\",\"reason\":\"observe\",\"rule\":null,"
		"\"policy_version\":2,\"ports\":[\"tcp/443\"],\"follow\":\"chain\","
		"\"internal\":true,\"require_dnssec\":true,\"observed\":true,\"zone\":\".\","
		"\"hosts\":[\"192.0.2.1\"],\"considered\":[]}"),
	    FRAME_EXIT("\0") } },
	{ "explain-dnssec app01 bad.test ", { FRAME_DATA(BOGUS), FRAME_EXIT("\1") } },
	{ "explain-dnssec app01 odd.test ", { FRAME_DATA(NAMELESS), FRAME_EXIT("\0") } },
	{ "explain-dnssec app01 evil.test ",
	  { FRAME_DATA("{\"workload\":\"app01\",\"name\":\"evil.test.\",\"type\":\"A\","
	               "\"verdict\":\"deny\",\"reason\":\"no rule\",\"policy_version\":3,"
	               "\"considered\":[],\"dnssec\":null}"),
	    FRAME_EXIT("\1") } },
	{ "explain nobody ", { FRAME_ERROR("there is no workload 'nobody'\n"), FRAME_EXIT("\2") } },
	{ "explain typo ",
	  { FRAME_DATA(
		"{\"workload\":null,\"name\":\"a.test.\",\"type\":\"A\",\"verdict\":\"deny\","
		"\"reason\":\"no workload\",\"policy_version\":3,\"considered\":[]}"),
	    FRAME_EXIT("\1") } },
	{ "explain 192.0.2.99 ",
	  { FRAME_DATA(
		"{\"workload\":null,\"name\":\"a.test.\",\"type\":\"A\",\"verdict\":\"deny\","
		"\"reason\":\"no workload\",\"policy_version\":3,\"rcode_if_denied\":\"REFUSED\","
		"\"considered\":[]}"),
	    FRAME_EXIT("\1") } },
	{ "flush a.test ", { FRAME_DATA("{\"flushed\":2}"), FRAME_EXIT("\0") } },
	{ "flush --all ", { FRAME_DATA("{\"flushed\":99}"), FRAME_EXIT("\0") } },
	{ "reload ",
	  { FRAME_DATA("{\"reloaded\":true,\"warnings\":[\"careful \\u001B[2J\"]}"),
	    FRAME_EXIT("\0") } },
};

static const struct {
	const char *title, *line;
	int status;
	const char *out, *err, *asked; /* each contained; NULL: does not matter */
} cases[] = {
	{ "status", "status", 0,
	  "sallyportd 0.1.0, pid 12, up 1h 1m, 2 workers\n"
	  "policy     version 3\n"
	  "pinholes   4 open, room for 100\n"
	  "history    5 records not yet written\n"
	  "listening  192.0.2.1:53\n"
	  "upstreams  . 192.0.2.53\n"
	  "rates      since the start: 2.0 answers/s, 0.0 denied/s\n"
	  "\n"
	  "ROLE      PID  STATE    RESTARTS  SINCE\n"
	  "resolver   13  running         1  2026-11-23 08:00:00.000Z\n"
	  "\n"
	  "counters\n"
	  "  answers                   7400\n"
	  "\n"
	  "limits hit\n"
	  "  limit_chain               2\n"
	  "\n"
	  "warnings   guard: \\027[2J\n",
	  "", "[status]\n" },
	{ "status as JSON", "status|--json", 0, STATUS "\n", "", NULL },
	{ "status with rates", "status|--interval|1ms", 0, "resolver   13", "",
	  "[status]\n[status]\n" },
	{ "a wrong interval", "status|--interval|soon", 2, "", "--interval is a span", NULL },
	{ "workload list", "workload|list", 0,
	  "WORKLOAD  PROFILE  MODE     PINHOLES  SOURCES                LISTENERS\n"
	  "app01     app      observe         4  192.0.2.7 2001:db8::7  192.0.2.1\n",
	  "", "[workload-list]\n" },
	{ "profile list", "profile|list", 0,
	  "app      enforce  nxdomain      3     1      1          2  floor 30s, grace 60s, max "
	  "3600s, "
	  "64 an answer, 4096 in all\n",
	  "", "[profile-list]\n" },
	{ "pinholes", "pinholes", 0,
	  "app01     192.0.2.7  192.0.2.80   tcp/443  1m 1s  3m 59s   12  www.test. > cdn.test.  "
	  "allow www.test       3  77\n",
	  "", "[pinholes]\n" },
	{ "pinholes without a port", "pinholes|-w|app01", 0,
	  "192.0.2.81   any         1s      2s    ?  x.test.", "", "[pinholes] [app01]\n" },
	{ "policy versions", "policy|versions", 0,
	  "     *3  2026-11-23 09:00:00.000Z  root      4          1  0123456789ab  p.yaml  why\n",
	  "", "[policy-versions]\n" },
	{ "policy show", "policy|show|2", 0,
	  "version: 1\nprofiles: {app: {allow: [{name: a.test}]}}\n",
	  "version 2, applied 2026-11-22 09:00:00.000Z by a user without a name from p.yaml\n",
	  "[policy-show] [2]\n" },
	{ "policy show, the current one", "policy|show", 0, "b.test", "by root from p.yaml: why",
	  "[policy-show] [current]\n" },
	{ "policy show of nothing", "policy|show|9", 2, "", "there is no version 9\n", NULL },
	{ "policy show of no number", "policy|show|x", 2, "", "'x' is no version", NULL },
	{ "policy diff of two versions", "policy|diff|2|current", 1,
	  "--- version 2\n+++ version 3\n@@ -1,2 +1,2 @@\n version: 1\n"
	  "-profiles: {app: {allow: [{name: a.test}]}}\n"
	  "+profiles: {app: {allow: [{name: b.test}]}}\n"
	  "\n"
	  "- rule app: allow a.test",
	  "", NULL },
	{ "policy diff against the current one", "policy|diff|2", 1,
	  "--- version 3\n+++ version 2\n", "", NULL },
	{ "policy diff of the same", "policy|diff|2|2", 0, "", "", NULL },
	{ "policy diff of what is not there", "policy|diff|9", 2, "", "there is no version 9",
	  NULL },
	{ "policy diff of a missing file", "policy|diff|/nonexistent/p.yaml", 2, "",
	  "/nonexistent/p.yaml: No such file", NULL },
	{ "policy rollback", "policy|rollback|2", 0,
	  "policy version 4 is in force: 1 rules, 0 workloads, 0 feed names (0.50 s)\n"
	  "+ rule app: allow a.test  {name: a.test}\n- rule app: allow b.test  {name: b.test}\n",
	  "", "[policy-rollback] [2]\n" },
	{ "policy rollback of no number", "policy|rollback|x", 2, "", "'x' is no version", NULL },
	{ "explain, denied", "explain|app01|evil.test", 1,
	  "deny  evil.test. A  for app01 (profile app), policy version 3\n"
	  "  because    rule: a rule decided, allow or deny\n"
	  "  rule       deny zone evil.test (line 11)\n"
	  "  answer     NXDOMAIN\n"
	  "\n"
	  "considered, strongest first:\n"
	  "  1. deny zone evil.test, line 11: it won\n"
	  "       profile: app, owner: sec\n"
	  "  2. feed malware: weaker\n",
	  "", "[explain] [app01] [evil.test] [A]\n" },
	{ "explain, allowed, with everything",
	  "explain|app01|nothing.test|AAAA|--policy-version|2|--at|2026-11-23T09:00:00Z", 0,
	  "allow  nothing.test. AAAA  for app01 (profile app), policy version 2\n"
	  "  because    observe: would be denied, but the profile observes\n"
	  "  opens      tcp/443\n"
	  "  follow     chain\n"
	  "  internal   its own addresses may be private\n"
	  "  requires   a secure answer (DNSSEC)\n"
	  "  observed   the profile observes: enforcing, this would be denied\n"
	  "  hosts      192.0.2.1\n"
	  "  asked at   .\n"
	  "\n"
	  "no rule and no feed matches this name\n",
	  "",
	  "[explain] [app01] [nothing.test] [AAAA] [version] [2] [at] "
	  "[2026-11-23T09:00:00.000000Z]\n" },
	{ "explain with DNSSEC, bogus", "explain|app01|bad.test|--dnssec", 1,
	  "DNSSEC: bogus, answered SERVFAIL, EDE 7: bad.test. A: the signature has expired\n"
	  "\n"
	  "bad.test. A, data, from 192.0.2.53\n"
	  "  ├─ test. DS\n"
	  "  │  ├─ signature over test. DS by . key 7 ECDSAP256SHA256, 2026-11-01 00:00:00Z to "
	  "2026-12-01 00:00:00Z: verified\n"
	  "  │  ├─ DS 9 algorithm 200, digest 2\n"
	  "  │  ├─ h.test. NSEC3 1 0 0 - \\027 covers x.test.\n"
	  "  │  ├─ x.test. is not proven not to be there\n"
	  "  │  └─ test. is no zone of its own\n"
	  "  ├─ zone .: secure\n"
	  "  └─ bogus: the signature has expired (RFC 4034, section 3.1.5)\n",
	  "steps were left out", "[explain-dnssec] [app01] [bad.test] [A]\n" },
	{ "explain with DNSSEC, denied", "explain|app01|evil.test|--dnssec", 1,
	  "\nDNSSEC: nothing was asked\n", "", NULL },
	{ "explain with DNSSEC, drawn", "explain|app01|bad.test|--svg|-", 1, "bad.test. A</text>",
	  "", "[explain-dnssec] [app01] [bad.test] [A]\n" },
	{ "explain with DNSSEC, a zone without a name", "explain|app01|odd.test|--svg|-", 0,
	  "odd.test. A</text>", "", NULL },
	{ "explain with DNSSEC, nothing to draw", "explain|app01|evil.test|--svg|-", 1, "",
	  "there is no chain to draw", NULL },
	{ "explain with DNSSEC, of another time", "explain|app01|bad.test|--dnssec|--at|2h", 2, "",
	  "goes with neither --at nor --policy-version", NULL },
	{ "explain, of nobody", "explain|nobody|a.test", 2, "", "there is no workload 'nobody'\n",
	  NULL },
	{ "explain, a misspelt workload", "explain|typo|a.test|--json", 2, "",
	  "there is no workload 'typo'", NULL },
	{ "explain, a stranger's address", "explain|192.0.2.99|a.test", 1,
	  "deny  a.test. A, policy version 3\n  because    no workload: the source belongs to no "
	  "workload\n"
	  "  answer     REFUSED\n",
	  "", NULL },
	{ "explain, a wrong type", "explain|app01|a.test|AAAAA", 2, "", "'AAAAA' is no record type",
	  NULL },
	{ "explain, a wrong time", "explain|app01|a.test|--at|soon", 2, "", "'soon' is no time",
	  NULL },
	{ "explain, a wrong version", "explain|app01|a.test|--policy-version|x", 2, "",
	  "--policy-version is a number", NULL },
	{ "flush", "flush|a.test", 0, "2 cached answers forgotten\n", "", "[flush] [a.test]\n" },
	{ "flush below", "flush|a.test|--below", 0, "2 cached", "", "[flush] [a.test] [below]\n" },
	{ "flush all", "flush|--all", 0, "99 cached", "", "[flush] [--all]\n" },
	{ "flush what", "flush", 2, "", "flush wants a NAME", NULL },
	{ "flush both", "flush|a.test|--all", 2, "", "flush wants a NAME", NULL },
	{ "reload", "reload", 0, "the configuration was read again\n",
	  "warning: careful \\027[2J\n", "[reload]\n" },
};

static void check(const char *title, const struct run *run, int status, const char *out,
                  const char *err)
{
	if (run->status != status || (out && !strstr(run->out, out)) ||
	    (err && !strstr(run->err, err)) || (err && !*err && *run->err))
		fail_msg("%s: status %d\nout: %s\nerr: %s", title, run->status, run->out, run->err);
}

static void verbs_ask_and_show(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct keeper keeper;
		struct run run;
		char *asked;

		keeper_start(&keeper, scripts, ARRAY_LEN(scripts));
		run = keeper_run(&keeper, cases[i].line);
		asked = keeper_asked(&keeper);
		check(cases[i].title, &run, cases[i].status, cases[i].out, cases[i].err);
		if (cases[i].asked && !strstr(asked, cases[i].asked))
			fail_msg("%s: asked %s", cases[i].title, asked);
		free(asked);
		run_fini(&run);
		keeper_stop(&keeper);
	}
}

/* Root is a file's owner even where there is a device. */
static void a_picture_replaces_nothing_but_a_file(void **state)
{
	char dir[] = "/tmp/sallyport-svg-XXXXXX", path[64], line[128];
	struct keeper keeper;
	struct stat st;
	struct run run;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/fifo", dir);
	snprintf(line, sizeof(line), "explain|app01|bad.test|--svg|%s", path);
	assert_int_equal(mkfifo(path, 0600), 0);
	keeper_start(&keeper, scripts, ARRAY_LEN(scripts));
	run = keeper_run(&keeper, line);
	keeper_stop(&keeper);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
	check("a pipe", &run, 2, NULL, "is there and no file; name a file, or -");
	run_fini(&run);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* Each line of @text is one JSON object. Returns their number. */
static size_t json_lines(const char *text)
{
	size_t n = 0;

	for (const char *line = text; *line; line = strchr(line, '\n') + 1, n++) {
		json_t *object = json_loadb(line, (size_t)(strchr(line, '\n') - line), 0, NULL);

		if (!json_is_object(object))
			fail_msg("not an object: %s", line);
		json_decref(object);
	}
	return n;
}

static void json_is_one_object_a_line(void **state)
{
	static const struct {
		const char *line;
		size_t n;
	} lines[] = {
		{ "status|--json", 1 },
		{ "workload|list|--json", 1 },
		{ "profile|list|--json", 1 },
		{ "pinholes|--json", 2 },
		{ "policy|versions|--json", 1 },
		{ "policy|show|2|--json", 1 },
		{ "policy|diff|2|--json", 3 },
		{ "policy|rollback|2|--json", 1 },
		{ "flush|--all|--json", 1 },
		{ "reload|--json", 1 },
		{ "explain|app01|evil.test|-j", 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
		struct keeper keeper;
		struct run run;

		keeper_start(&keeper, scripts, ARRAY_LEN(scripts));
		run = keeper_run(&keeper, lines[i].line);
		if (json_lines(run.out) != lines[i].n)
			fail_msg("%s: %s%s", lines[i].line, run.out, run.err);
		run_fini(&run);
		keeper_stop(&keeper);
	}
}

#define POLICY                                                                                     \
	"version: 1\n"                                                                             \
	"profiles:\n"                                                                              \
	"  app:\n"                                                                                 \
	"    allow:\n"                                                                             \
	"      - name: b.test\n"                                                                   \
	"      - name: c.test\n"                                                                   \
	"    feeds: [malware]\n"                                                                   \
	"feeds:\n"                                                                                 \
	"  malware: {file: feed.txt, format: domains}\n"                                           \
	"workloads:\n"                                                                             \
	"  app01: {source: 192.0.2.7, profile: app}\n"

static void apply_passes_policy_and_feeds_with_the_callers_rights(void **state)
{
	struct keeper keeper;
	struct run run;
	char *asked;

	(void)state;
	keeper_start(&keeper, scripts, ARRAY_LEN(scripts));
	keeper_write(&keeper, "policy.yaml", POLICY);
	keeper_write(&keeper, "feed.txt", "evil.test\n");
	run = keeper_run(&keeper, "policy|apply|%s/policy.yaml|-m|because of it");
	asked = keeper_asked(&keeper);
	check("apply", &run, 0,
	      "policy version 4 is in force: 1 rules, 1 workloads, 2 feed names (0.25 s)\n",
	      "p.yaml:3:1: warning: something\n");
	assert_non_null(strstr(run.out, "+ rule app: allow c.test"));
	assert_null(strstr(run.out, "allow b.test"));
	assert_non_null(strstr(asked, "[may] [policy-apply]\n[policy-apply] ["));
	assert_non_null(
	    strstr(asked, "policy.yaml] [because of it] [malware]\nfd 0: version: 1\n"));
	assert_non_null(strstr(asked, "fd 1: evil.test\n"));
	free(asked);
	run_fini(&run);
	keeper_stop(&keeper);
}

/* Descriptors of whom may not apply would not be let in. */
static void apply_asks_first_whether_it_may(void **state)
{
	static const struct script refusal[] = {
		{ "may policy-apply ",
		  { FRAME_ERROR("error: policy-apply is for root and the admin group"),
		    FRAME_EXIT("\2") } },
		{ "policy-show current ", { FRAME_ERROR("there is none"), FRAME_EXIT("\2") } },
	};
	struct keeper keeper;
	struct run run;
	char *asked;

	(void)state;
	keeper_start(&keeper, refusal, ARRAY_LEN(refusal));
	keeper_write(&keeper, "policy.yaml", POLICY);
	keeper_write(&keeper, "feed.txt", "evil.test\n");
	run = keeper_run(&keeper, "policy|apply|%s/policy.yaml");
	asked = keeper_asked(&keeper);
	check("apply", &run, 2, "", "policy-apply is for root and the admin group");
	assert_null(strstr(asked, "\n[policy-apply]"));
	assert_null(strstr(asked, "fd 0"));
	free(asked);
	run_fini(&run);
	keeper_stop(&keeper);
}

static void apply_dry_changes_nothing(void **state)
{
	struct keeper keeper;
	struct run run;
	char *asked;

	(void)state;
	keeper_start(&keeper, scripts, ARRAY_LEN(scripts));
	keeper_write(&keeper, "policy.yaml", POLICY);
	keeper_write(&keeper, "feed.txt", "evil.test\n");
	run = keeper_run(&keeper, "policy|apply|%s/policy.yaml|--dry-run");
	asked = keeper_asked(&keeper);
	check("apply --dry-run", &run, 0, "+ rule app: allow c.test", NULL);
	assert_null(strstr(asked, "policy-apply"));
	free(asked);
	run_fini(&run);
	keeper_stop(&keeper);
}

static void apply_tells_all_faults_before_it_asks(void **state)
{
	struct keeper keeper;
	struct run run;
	char *asked;

	(void)state;
	keeper_start(&keeper, scripts, ARRAY_LEN(scripts));
	keeper_write(&keeper, "policy.yaml",
	             "version: 1\nprofiles:\n  app:\n    mod: enforce\n    feeds: [malware]\n"
	             "feeds:\n  malware: {file: missing.txt, format: domains}\n"
	             "workloads:\n  app01: {source: 192.0.2.7, profile: ap}\n");
	run = keeper_run(&keeper, "policy|apply|%s/policy.yaml");
	asked = keeper_asked(&keeper);
	check("faults", &run, 2, "", "policy.yaml:4:");
	assert_non_null(strstr(run.err, "policy.yaml:7:"));
	assert_non_null(strstr(run.err, "missing.txt cannot be read: No such file"));
	assert_non_null(strstr(run.err, "policy.yaml:9:"));
	assert_non_null(strstr(run.err, "nothing was changed"));
	assert_string_equal(asked, "");
	free(asked);
	run_fini(&run);
	keeper_stop(&keeper);
}

static void a_policy_that_is_no_utf8_is_a_fault_with_its_place(void **state)
{
	struct keeper keeper;
	struct run run;

	(void)state;
	keeper_start(&keeper, scripts, ARRAY_LEN(scripts));
	keeper_write(&keeper, "policy.yaml", "version: 1\n# \n# \357 b\n");
	run = keeper_run(&keeper, "policy|apply|%s/policy.yaml");
	check("apply", &run, 2, "", "policy.yaml:3:3: error: octet 0xef is not UTF-8");
	run_fini(&run);
	run = keeper_run(&keeper, "policy|diff|%s/policy.yaml");
	check("diff", &run, 2, "", "policy.yaml:3:3: error: octet 0xef is not UTF-8");
	run_fini(&run);
	keeper_stop(&keeper);
}

static const struct {
	const char *title;
	struct script script;
	int status;
	const char *err;
} broken[] = {
	{ "hangs up", { "reload", { { 0, NULL, 0 } } }, 2, "sallyportd broke off" },
	{ "hangs up in the middle",
	  { "reload", { FRAME_DATA("{\"reloaded\":true}") } },
	  2,
	  "broke off" },
	{ "sends no JSON",
	  { "reload", { FRAME_DATA("{"), FRAME_EXIT("\0") } },
	  2,
	  "cannot be read" },
	{ "sends no object",
	  { "reload", { FRAME_DATA("[1]"), FRAME_EXIT("\0") } },
	  2,
	  "cannot be read" },
	{ "sends a status of its own", { "reload", { FRAME_EXIT("\3") } }, 2, "cannot be read" },
	{ "sends a request", { "reload", { { CONTROL_REQUEST, "x", 1 } } }, 2, "cannot be read" },
	{ "sends other types",
	  { "reload", { FRAME_DATA("{\"reloaded\":7,\"warnings\":{\"a\":1}}"), FRAME_EXIT("\0") } },
	  0,
	  "" },
	{ "complains with an escape sequence",
	  { "reload", { FRAME_ERROR("no: \033[2J"), FRAME_EXIT("\1") } },
	  1,
	  "no: \\027[2J\n" },
};

static void a_broken_keeper_is_a_failure(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(broken); i++) {
		struct keeper keeper;
		struct run run;

		keeper_start(&keeper, &broken[i].script, 1);
		run = keeper_run(&keeper, "reload");
		check(broken[i].title, &run, broken[i].status, NULL, broken[i].err);
		run_fini(&run);
		keeper_stop(&keeper);
	}
}

/* Objects whose fields are missing or of other types are shown somehow, never read past. */
static void any_object_is_shown_safely(void **state)
{
	static const char *const verbs_shown[] = { "status",          "workload|list",
		                                   "profile|list",    "pinholes",
		                                   "policy|versions", "explain|192.0.2.1|b",
		                                   "flush|--all",     "policy|show",
		                                   "policy|diff|1|2" };
	static const char *const objects[] = {
		"{}",
		"{\"workload\":1,\"mode\":[],\"sources\":\"x\",\"roles\":{},\"text\":\"a\","
		"\"feeds\":3}",
		"{\"sources\":[1,null],\"roles\":[1,null,[]],\"considered\":[null,1],\"warnings\":["
		"1],"
		"\"chain\":[[]],\"counters\":[],\"limits_hit\":{\"x\":\"y\"},\"feeds\":[1],"
		"\"text\":\"\"}",
		"{\"uptime_s\":-1e300,\"age_s\":1e300,\"version\":-1,\"port\":-5,\"time\":\"Tx\"}",
	};

	(void)state;
	for (size_t v = 0; v < ARRAY_LEN(verbs_shown); v++) {
		for (size_t i = 0; i < ARRAY_LEN(objects); i++) {
			const struct script script = {
				"", { FRAME_DATA(objects[i]), FRAME_EXIT("\0") }
			};
			struct keeper keeper;
			struct run run;

			keeper_start(&keeper, &script, 1);
			run = keeper_run(&keeper, verbs_shown[v]);
			assert_in_range(run.status, 0, 2);
			for (const char *s = run.out; *s; s++)
				assert_true((unsigned char)*s >= ' ' || *s == '\n');
			run_fini(&run);
			keeper_stop(&keeper);
		}
	}
}

static void without_a_keeper_the_remedy_is_told(void **state)
{
	struct keeper keeper;
	struct run run;

	(void)state;
	keeper_start(&keeper, NULL, 0);
	run = keeper_run(&keeper, "status");
	check("no socket", &run, 2, "", "sallyportd is not running: there is no ");
	run_fini(&run);
	keeper_write(&keeper, "control.sock", "");
	run = keeper_run(&keeper, "status");
	check("a file in its place", &run, 2, "", "sallyportd is not running: nobody listens at ");
	run_fini(&run);
	keeper_stop(&keeper);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(verbs_ask_and_show),
		cmocka_unit_test(a_picture_replaces_nothing_but_a_file),
		cmocka_unit_test(json_is_one_object_a_line),
		cmocka_unit_test(apply_passes_policy_and_feeds_with_the_callers_rights),
		cmocka_unit_test(apply_asks_first_whether_it_may),
		cmocka_unit_test(apply_dry_changes_nothing),
		cmocka_unit_test(apply_tells_all_faults_before_it_asks),
		cmocka_unit_test(a_policy_that_is_no_utf8_is_a_fault_with_its_place),
		cmocka_unit_test(a_broken_keeper_is_a_failure),
		cmocka_unit_test(any_object_is_shown_safely),
		cmocka_unit_test(without_a_keeper_the_remedy_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
