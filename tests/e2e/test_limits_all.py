"""Promise P8: every limit of limits.h is hit once, by the test that the table below names, and tells
so: an error in words for people's input, a counter for the network's. The table is checked against
limits.h; what only needs a text is hit right here."""
import glob, os, re, subprocess, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness as h

h.enter(os.path.abspath(__file__), seconds=180)

# Where each limit is hit: a case of this file, or FILE:CASE of another; and the counter that tells it.
TABLE = {
    "LIMIT_DIAG_ITEMS": ("faults_of_policies",),
    "LIMIT_LOG_PER_SECOND": ("e2e/test_hostile_keeper.py:a_role_that_babbles_hides_no_line_for_long",),
    "LIMIT_CONFIG_BYTES": ("faults_of_configurations",),
    "LIMIT_POLICY_BYTES": ("faults_of_policies",),
    "LIMIT_FEED_BYTES": ("faults_of_policies",),
    "LIMIT_IMAGE_BYTES": ("unit/resolver_io/io_policy_slot.c:a_bad_image_leaves_the_old_one_in_force",),
    "LIMIT_PROFILES": ("faults_of_policies",),
    "LIMIT_WORKLOADS": ("faults_of_policies",),
    "LIMIT_WORKLOAD_SOURCES": ("faults_of_policies",),
    "LIMIT_WORKLOAD_LISTENERS": ("faults_of_policies",),
    "LIMIT_WORKLOAD_OTHER_FAMILY": ("faults_of_policies",),
    "LIMIT_RULES": ("faults_of_policies",),
    "LIMIT_RULES_APPLIED": ("faults_of_policies",),
    "LIMIT_SUFFIX_PATTERNS": ("unit/policy/policy_faults.c:more_patterns_of_one_suffix_than_are_looked_at_is_a_fault",),
    "LIMIT_RULE_PORTS": ("faults_of_policies",),
    "LIMIT_RULE_TYPES": ("faults_of_policies",),
    "LIMIT_FEEDS": ("faults_of_policies",),
    "LIMIT_HOSTS": ("faults_of_policies",),
    "LIMIT_GUARD_HOSTS": ("hosts_times_profiles_are_bounded",),
    "LIMIT_EXTENDS_DEPTH": ("faults_of_policies",),
    "LIMIT_WORKLOAD_NAME": ("faults_of_policies",),
    "LIMIT_ANCHORS": ("faults_of_configurations",),
    "LIMIT_ANCHOR_BYTES": ("faults_of_configurations",),
    "LIMIT_UPKEEP_ZONES": ("e2e/test_anchors.py:so_many_zones_are_kept_up_and_the_others_stay_as_they_are",),
    "LIMIT_UPKEEP_KEYS": ("unit/keeper/keeper_upkeep.c:more_keys_than_are_kept_are_passed_over",),
    "LIMIT_NTAS": ("faults_of_configurations",),
    "LIMIT_NTA_S": ("e2e/test_dnssec.py:what_a_negative_trust_anchor_may_not_be_is_told",),
    "LIMIT_NTA_REASON": ("e2e/test_dnssec.py:what_a_negative_trust_anchor_may_not_be_is_told",),
    "LIMIT_WORKERS": ("faults_of_configurations",),
    "LIMIT_LISTENERS": ("faults_of_configurations",),
    "LIMIT_ZONES": ("faults_of_configurations",),
    "LIMIT_ZONE_SERVERS": ("faults_of_configurations",),
    "LIMIT_MSG_BYTES": ("unit/resolver_io/io_listen_tcp.c:the_stream_stays_in_step_whatever_the_length",),
    "LIMIT_MSG_HOPS_NAME": ("unit/resolver_codec/codec_scan.c:a_chain_of_pointers_is_refused", "limit_upstream_message"),
    "LIMIT_MSG_HOPS": ("unit/resolver_codec/codec_scan.c:hops_are_counted_over_the_message", "limit_upstream_message"),
    "LIMIT_MSG_RECORDS": ("unit/resolver_codec/codec_scan.c:records_are_bounded", "limit_upstream_message"),
    "LIMIT_MSG_GROWN": ("unit/resolver_codec/codec_entry.c:what_a_message_grows_to_is_bounded", "limit_upstream_message"),
    "LIMIT_RRSET_RECORDS": ("unit/resolver_io/io_fetch_udp.c:an_answer_over_a_limit_is_told_apart_and_counted",
                            "limit_upstream_message"),
    "LIMIT_ANSWER_BYTES": ("unit/resolver_codec/codec_entry.c:what_a_message_grows_to_is_bounded",
                           "limit_upstream_message"),
    "LIMIT_EDNS_OPTIONS": ("unit/resolver_codec/codec_question.c:too_many_options_are_malformed", "formerr"),
    "LIMIT_EDNS_UDP_BYTES": ("unit/resolver_codec/codec_reply.c:what_does_not_fit_is_truncated_to_nothing",
                             "truncated"),
    "LIMIT_IN_FLIGHT": ("unit/resolver_query/query_limits.c:limits_hold_in_all_and_per_workload_and_client",
                        "limit_in_flight"),
    "LIMIT_IN_FLIGHT_WORKLOAD": ("e2e/test_limits_e2e.py:a_client_and_a_workload_wait_for_so_many_answers_at_once",
                                 "limit_in_flight"),
    "LIMIT_IN_FLIGHT_CLIENT": ("e2e/test_limits_e2e.py:a_client_and_a_workload_wait_for_so_many_answers_at_once",
                               "limit_in_flight"),
    "LIMIT_TCP_CONNECTIONS": ("e2e/test_limits_e2e.py:in_all_so_many_TCP_connections_and_idle_ones_give_way",
                              "limit_tcp"),
    "LIMIT_TCP_CONNECTIONS_CLIENT": ("e2e/test_limits_e2e.py:a_client_holds_so_many_TCP_connections_and_idle_ones_end",
                                     "limit_tcp"),
    "LIMIT_TCP_PIPELINED": ("unit/resolver_io/io_listen_tcp.c:a_full_pipeline_stops_reading_until_an_answer",),
    "LIMIT_TCP_IDLE_MS": ("e2e/test_limits_e2e.py:a_client_holds_so_many_TCP_connections_and_idle_ones_end",
                          "limit_tcp_timeout"),
    "LIMIT_TCP_READ_MS": ("e2e/test_limits_e2e.py:a_message_that_does_not_end_costs_its_connection",
                          "limit_tcp_timeout"),
    "LIMIT_CHAIN": ("e2e/test_limits_e2e.py:chains_end", "limit_chain"),
    "LIMIT_TARGETS": ("e2e/test_limits_e2e.py:an_answer_leads_to_so_many_targets", "limit_targets"),
    "LIMIT_SUBQUERIES": ("e2e/test_dnssec.py:a_chain_whose_every_link_is_asked_for_again_meets_a_limit",
                         "limit_subqueries"),
    "LIMIT_QUERY_MS": ("unit/resolver_query/query_scenarios.c:plays", "limit_query_time"),
    "LIMIT_AMPLIFICATION": (
        "unit/resolver_query/query_limits.c:what_may_be_forged_is_answered_threefold_within_the_budget",
        "limit_amplification"),
    "LIMIT_UDP_BACKLOG": ("unit/resolver_io/io_listen.c:a_flood_is_read_at_once_and_what_does_not_fit_is_counted",
                          "limit_backlog"),
    "LIMIT_ANSWER_AGE_MS": ("unit/resolver_io/io_listen.c:an_answer_that_was_made_long_ago_is_not_sent",
                            "limit_answer_age"),
    "LIMIT_QUEUE_AGE_MS": ("e2e/test_clients_hostile.py:what_waited_over_4_s_in_the_kernel_is_dropped_and_counted",
                           "dropped_old"),
    "LIMIT_FOLLOW_TARGETS": ("unit/resolver_query/query_limits.c:a_chains_target_that_finds_no_place_is_counted",
                             "limit_follow"),
    "LIMIT_AHEAD": (
        "unit/resolver_query/query_limits.c:targets_are_asked_for_ahead_within_their_workloads_limits", "limit_ahead"),
    "LIMIT_UPSTREAM_TRIES": ("unit/resolver_io/io_fetch.c:silence_ends_in_a_failure_within_the_deadline",
                             "upstream_failed"),
    "LIMIT_UPSTREAM_UDP_TRIES": ("unit/resolver_io/io_fetch.c:silence_ends_in_a_failure_within_the_deadline",
                                 "upstream_failed"),
    "LIMIT_WAITING_BYTES": ("e2e/test_limits_e2e.py:what_waiting_queries_hold_is_bounded", "limit_waiting"),
    "LIMIT_WAITING_SMALL_BYTES": ("e2e/test_limits_e2e.py:what_waiting_queries_hold_is_bounded", "limit_waiting"),
    "LIMIT_WAITING_QUERY_BYTES": ("e2e/test_limits_e2e.py:what_waiting_queries_hold_is_bounded", "limit_waiting"),
    "LIMIT_UPSTREAM_FETCHES": ("unit/resolver_io/io_fetch.c:the_number_of_questions_is_bounded", "limit_upstream"),
    "LIMIT_UPSTREAM_TCP": ("e2e/test_limits_e2e.py:one_server_has_so_many_connections_of_ours", "limit_upstream"),
    "LIMIT_VAL_CHECKS": ("unit/validator/val_scenarios.c:every_scenario_ends_as_it_says", "limit_val_checks"),
    "LIMIT_VAL_CHECKS_SET": ("unit/validator/val_scenarios.c:every_scenario_ends_as_it_says", "limit_val_checks_set"),
    "LIMIT_VAL_FAILURES": ("unit/validator/val_scenarios.c:every_scenario_ends_as_it_says", "limit_val_failures"),
    "LIMIT_VAL_FAILURES_MESSAGE": ("unit/validator/val_scenarios.c:every_scenario_ends_as_it_says", "limit_val_failures_message"),
    "LIMIT_VAL_KEYS_TAG": ("unit/validator/val_scenarios.c:every_scenario_ends_as_it_says", "limit_val_keys_tag"),
    "LIMIT_VAL_KEYS": ("unit/validator/val_scenarios.c:every_scenario_ends_as_it_says", "limit_val_keys"),
    "LIMIT_VAL_KEYS_ALL": ("unit/validator/val_tables.c:the_keys_of_all_zones_are_bounded", "limit_val_keys_all"),
    "LIMIT_VAL_DS": ("unit/validator/val_scenarios.c:every_scenario_ends_as_it_says", "limit_val_ds"),
    "LIMIT_VAL_DENIAL": ("unit/validator/val_scenarios.c:every_scenario_ends_as_it_says", "limit_val_denial"),
    "LIMIT_VAL_HASHES": ("unit/validator/val_scenarios.c:every_scenario_ends_as_it_says", "limit_val_hashes"),
    "LIMIT_VAL_HASHES_PROOF": ("unit/validator/val_scenarios.c:every_scenario_ends_as_it_says", "limit_val_hashes_proof"),
    "LIMIT_VAL_QUESTIONS": ("unit/validator/val_scenarios.c:every_scenario_ends_as_it_says", "limit_val_questions"),
    "LIMIT_VAL_SIGNERS": ("unit/validator/val_scenarios.c:every_scenario_ends_as_it_says", "limit_val_signers"),
    "LIMIT_PROOF_BYTES": ("unit/resolver_query/proofs.c:what_is_kept_is_bounded_and_what_was_used_stays", "limit_proofs"),
    "LIMIT_PINHOLE_OPS": ("unit/fwsync/guard_table.c:too_many_elements_are_refused", "fw_refused_malformed"),
    "LIMIT_INBOUND": ("faults_of_policies",),
    "LIMIT_PINHOLE_ROWS": ("unit/fwsync/batch.c:names_and_ports_of_a_workload_are_limited_too", "fw_limit_workload"),
    "LIMIT_PINHOLE_REASONS": ("unit/fwsync/batch.c:an_element_has_so_many_reasons_and_one_for_all_others", "fw_limit_reasons"),
    "LIMIT_PINHOLE_REQUESTS": ("unit/fwsync/pinhole_wire.c:hostile_fields_are_refused", "fw_refused_malformed"),
    "LIMIT_PINHOLE_MESSAGE": ("unit/resolver_query/query_pinhole_client.c:more_than_a_request_may_hold_is_refused",
                              "fw_refused_malformed"),
    "LIMIT_PINHOLE_BATCH_ELEMENTS": ("unit/fwsync/batch.c:more_elements_than_a_transaction_holds_are_several",),
    "LIMIT_PINHOLE_NAMES": ("unit/fwsync/pinhole_wire.c:hostile_fields_are_refused", "fw_refused_malformed"),
    "LIMIT_HISTORY_LOG_BYTES": ("unit/db/db_disk.c:a_reader_that_never_ends_is_left_behind",),
    "LIMIT_RECORD_BYTES": ("unit/db/db_ring.c:a_hostile_producer_is_contained", "history_malformed"),
    "LIMIT_ANSWER_RRS": ("e2e/test_limits_e2e.py:an_answer_of_many_records_is_told_in_part",),
    "LIMIT_ROLE_MESSAGE": ("unit/base/base_messages.c:a_broken_role_message_is_refused_and_its_descriptors_closed",),
    "LIMIT_ROLE_DEATHS": ("unit/keeper/keeper_child.c:the_fifth_quick_death_backs_off",),
    "LIMIT_ROLE_DEATHS_MS": ("unit/keeper/keeper_child.c:the_fifth_quick_death_backs_off",),
    "LIMIT_ROLE_HUNG_MS": ("unit/keeper/keeper_child.c:a_thread_without_a_heartbeat_is_a_death",),
    "LIMIT_ROLE_BUSY_MS": ("unit/keeper/keeper_child.c:a_heartbeat_ahead_is_believed_up_to_a_limit",),
    "LIMIT_USE_MS": ("unit/keeper/keeper_use.c:who_waits_too_long_goes_without_and_a_late_answer_is_nobodys",
                     "limit_use"),
    "LIMIT_EXPLAINS": ("e2e/test_dnssec.py:one_is_explained_at_a_time", "limit_explain"),
    "LIMIT_EXPLAIN_BYTES": ("e2e/test_dnssec.py:what_is_told_is_bounded_but_the_verdict_is_told",),
    "LIMIT_EXPLAIN_TEXT": ("unit/keeper/keeper_explained.c:a_length_that_does_not_fit_is_refused",),
    "LIMIT_CONTROL_CLIENTS": ("e2e/test_limits_e2e.py:control_connections_are_bounded",),
    "LIMIT_CONTROL_READERS": ("e2e/test_limits_e2e.py:analysts_cannot_keep_administrators_out",),
    "LIMIT_CONTROL_FRAME": ("unit/keeper/keeper_server.c:a_head_that_is_no_request_is_refused",),
    "LIMIT_AUDIT_ROWS": ("e2e/test_hostile_keeper.py:what_an_analyst_leaves_in_the_audit_trail_is_bounded", "limit_audit"),
    "LIMIT_AUDIT_ROW_MS": ("unit/keeper/keeper_trail.c:so_many_at_once_and_one_more_each_time", "limit_audit"),
    "LIMIT_CONTROL_UNREAD": ("e2e/test_hostile_keeper.py:answers_that_analysts_do_not_read_take_a_bounded_room",),
}


def source(path):
    return open(os.path.join(h.ROOT, path)).read()


def limits():
    text = re.sub(r"/\*.*?\*/", "", source("include/sallyport/limits.h"), flags=re.S)
    return re.findall(r"^\s*(LIMIT_\w+) =", text, re.M)


def looked_at(counter):
    """Is there a test that reads this counter, or, of validation, the limit behind it?"""
    words = [counter, "COUNT_" + counter.upper(), "met=" + counter.upper().removeprefix("LIMIT_VAL_")]
    word = re.compile(r"\b(%s)\b" % "|".join(words))
    return any(word.search(source(path)) for kind in ("e2e/*.py", "unit/*/*.c", "unit/*/scenarios/*.txt")
               for path in glob.glob("tests/" + kind, root_dir=h.ROOT) if not path.endswith("limits_all.py"))


@h.case
def the_table_names_every_limit_and_a_test_that_exists():
    h.same(sorted(set(limits()) - set(TABLE)), [], "limits that no test hits; hit them, and name the test here")
    h.same(sorted(set(TABLE) - set(limits())), [], "limits that are gone")
    counters = re.findall(r'^\s*X\(\w+, "(\w+)"', source("include/sallyport/counter.h"), re.M)
    for name, (where, *counter) in TABLE.items():
        path, _, case = where.rpartition(":")
        text = source("tests/" + path) if path else open(os.path.abspath(__file__)).read()
        kind = r"^static void %s\(" if path.endswith(".c") else r"^def %s\("
        assert re.search(kind % case, text, re.M), f"{name}: there is no {where}"
        assert not counter or counter[0] in counters, f"{name}: there is no counter {counter}"
        assert not counter or looked_at(counter[0]), f"{name}: no test looks at the counter {counter}"


# ---- texts


def told(args, want, what, code=None):
    p = subprocess.run(args, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)
    assert want in p.stderr, f"{what}: exit {p.returncode}, no word of {want!r}: {p.stderr[-600:]!r}"
    if code is not None:
        h.same(p.returncode, code, what)


def policy(text, want, what, code=1):
    path = h.work("policy.yaml")
    with open(path, "w") as f:
        f.write(text)
    told([os.path.join(h.BIN, "sallyport-compile"), "--file", path, "--out", h.work("image")], want, what, code)


def named(n):
    """n names of four letters."""
    letters = "abcdfghijklmnopqrstuvwxyz0123456789-"
    out = []
    for i in range(n):
        a, b, c, d = i // 46656 % 36, i // 1296 % 36, i // 36 % 36, i % 36
        out.append(letters[a] + letters[b] + letters[c] + letters[d])
    return out


def rules(text, profile="p"):
    return f"version: 1\nprofiles: {{{profile}: {{allow: [{text}]}}}}\nworkloads: {{w: {{source: 192.0.2.1, profile: p}}}}\n"


@h.case
def faults_of_policies():
    ok = rules("{name: a.test}")
    policy(ok, "", "a good one", 0)
    policy(rules("x, " * 1001), "1 more", "faults beyond those kept")
    policy(ok + "#" * (16 << 20), "16777216", "octets of a policy", None)
    policy("version: 1\nprofiles: {" + ",".join(f"p{i}: {{}}" for i in range(4097)) + "}\nworkloads: {}\n",
           "more than 4096 profiles", "profiles")
    policy("version: 1\nprofiles: {p: {}}\nworkloads:\n" + "".join(
        f"  w{i}: {{source: 10.{i >> 16}.{i >> 8 & 255}.{i & 255}, profile: p}}\n" for i in range(65537)),
        "more than 65536 workloads", "workloads")
    policy("version: 1\nprofiles: {p: {}}\nworkloads: {w: {profile: p, source: [" +
           ",".join(f"10.0.{i >> 8}.{i & 255}" for i in range(1025)) + "]}}\n", "a workload has 1 to 1024", "sources")
    policy("version: 1\nprofiles: {p: {allow: [{name: a.test}]}}\nworkloads: {w: {profile: p, source: ['2001:db8::1'," +
           ",".join(f"10.0.0.{i}" for i in range(17)) + "]}}\n", "16", "single addresses of a family: a warning", 0)
    policy("version: 1\nprofiles: {p: {}}\nworkloads: {w: {profile: p, listener: [" +
           ",".join(f"10.0.0.{i}" for i in range(65)) + "]}}\n", "a workload has 1 to 64", "listeners of a workload")
    policy(rules("{name: a.test, ports: tcp/1-129}"), "more than 128 ports", "ports of a rule")
    policy(rules("{name: a.test, types: [" + ",".join(f"TYPE{i}" for i in range(1000, 1033)) + "]}"), "32",
           "types of a rule")
    policy("version: 1\nprofiles: {p: {}}\nfeeds: {" + ",".join(
        f"f{i}: {{file: f{i}, format: domains}}" for i in range(65)) + "}\nworkloads: {}\n", "more than 64 feeds", "feeds")
    policy(ok + "hosts: [" + ",".join(f"{{name: h{i}.test, address: 10.{i >> 16}.{i >> 8 & 255}.{i & 255}}}"
                                     for i in range(65537)) + "]\n", "more than 65536 hosts", "hosts")
    policy("version: 1\nprofiles:\n  p: {}\n" + "".join(
        f"  q{i}: {{extends: {'q%d' % (i - 1) if i else 'p'}}}\n" for i in range(18)) +
        "workloads: {w: {source: 192.0.2.1, profile: p}}\n", "16", "profiles that extend each other")
    policy(rules("{name: a.test}", "p" * 64), "63", "octets of a name")
    policy("version: 1\nprofiles: {p: {inbound: udp/1-128}}\nworkloads: {w: {profile: p, source: [" +
           ",".join(f"10.0.{i >> 8}.{i & 255}" for i in range(513)) + "]}}\n", "more than 65536 inbound ports",
           "ports open from outside")
    feed = h.work("huge.txt")
    with open(feed, "wb") as f:
        f.truncate((1 << 30) + 1)
    policy("version: 1\nprofiles: {p: {feeds: [f]}}\nfeeds: {f: {file: huge.txt, format: domains}}\n"
           "workloads: {w: {source: 192.0.2.1, profile: p}}\n", "huge.txt", "octets of a feed", None)
    # Both cost seconds, for both are a million of something.
    policy("version: 1\nprofiles:\n  p: {allow: [" + ",".join(f"{{name: n{i}.test}}" for i in range(4096)) + "]}\n" +
           "".join(f"  p{i}: {{extends: p}}\n" for i in range(2049)) +
           "workloads: {w: {source: 192.0.2.1, profile: p}}\n", "more than 8388608 rules", "rules with inherited ones")
    policy(rules(",".join(f"{{name: {n}}}" for n in named(1048577))), "more than 1048576 rules", "rules")


@h.case
def a_million_names_of_a_feed_take_a_bounded_memory():
    n, words = 1000000, ("track", "ads", "cdn", "stat", "pixel", "metrics")
    with open(h.work("million.txt"), "w") as f:
        f.writelines(f"{words[i % 6]}{i * 2654435761 % 65536:x}.shop-{i // 3}.{'example' if i % 2 else 'test'}\n"
                     for i in range(n))
    with open(h.work("million.yaml"), "w") as f:
        f.write("version: 1\nprofiles: {p: {feeds: [f], allow: [{zone: .}]}}\nworkloads: {w: {source: 192.0.2.1, profile: p}}\n"
                "feeds: {f: {file: million.txt, format: domains}}\n")
    p = subprocess.Popen([os.path.join(h.BIN, "sallyport-compile"), "--file", h.work("million.yaml"), "--out", h.work("image")])
    _, status, usage = os.wait4(p.pid, 0)
    h.same(status, 0, "the compiler's end")
    image = os.path.getsize(h.work("image"))
    print(f"    {usage.ru_maxrss * 1024 / n:.0f} octets of memory a name, {image / n:.1f} in the image")
    assert image <= 40 * n, f"{image} octets of image"
    assert usage.ru_maxrss * 1024 <= 300 * n, f"{usage.ru_maxrss} KiB to compile it"


CONFIG = """\
state_dir: /tmp/none
run_dir: /tmp/none
user: nobody
listen: [{address: 127.0.0.1, port: 5353}]
upstreams: [{zone: ".", servers: [{address: 192.0.2.53}]}]
dnssec: {mode: off}
"""


def config(text, want, what):
    path = h.work("sallyport.yaml")
    with open(path, "w") as f:
        f.write(text)
    told([os.path.join(h.BIN, "sallyportd"), "-c", path, "--check"], want, what, 1)


@h.case
def faults_of_configurations():
    config(CONFIG + "#" * (1 << 20), "1048576", "octets")
    config(CONFIG + "workers: 65\n", "64", "workers")
    many = ",".join(f"{{address: 127.0.0.1, port: {6000 + i}}}" for i in range(65))
    config(re.sub(r"listen: .*", f"listen: [{many}]", CONFIG), "64", "listeners")
    many = ",".join(f"{{zone: z{i}.test, servers: [{{address: 192.0.2.53}}]}}" for i in range(257))
    config(re.sub(r"upstreams: .*", f"upstreams: [{many}]", CONFIG), "256", "zones")
    many = ",".join(f"{{address: 192.0.2.{i + 1}}}" for i in range(17))
    config(re.sub(r"servers: \[.*?\]", f"servers: [{many}]", CONFIG), "16", "servers of a zone")
    anchors = h.work("anchors.ds")
    with open(anchors, "w") as f:
        f.write("".join(f"z{i}.test. DS 1 13 2 {'ab' * 32}\n" for i in range(65)))
    config(CONFIG.replace("mode: off", f"mode: off, trust_anchors: [{anchors}]"), "more than 64 records", "anchors")
    with open(anchors, "w") as f:
        f.write("z.test. DNSKEY 257 3 8 " + "A" * 1400 + "\n")
    config(CONFIG.replace("mode: off", f"mode: off, trust_anchors: [{anchors}]"), "longer than", "an anchor's octets")
    many = ",".join(f"{{name: z{i}.test, until: 2027-01-01}}" for i in range(65))
    config(CONFIG.replace("mode: off", f"mode: off, negative_trust_anchors: [{many}]"), "more than 64 entries", "NTAs")


@h.case
def hosts_times_profiles_are_bounded():
    h.host("gw")
    h.run(["ip", "addr", "add", "10.1.0.1/32", "dev", "lo"], ns="gw")
    sp = h.Sallyport("gw", """\
workers: 1
listen: [{address: 10.1.0.1, port: 53}]
upstreams: [{zone: ".", servers: [{address: 10.1.0.9}]}]
dnssec: {mode: off}
firewall: {guard: {prefixes: [10.1.0.2/32]}}
""").up()
    text = "version: 1\nprofiles:\n  p0: {allow: [{zone: test}]}\n" + "".join(
        f"  p{i}: {{extends: p0}}\n" for i in range(1, 66)) + "workloads:\n" + "".join(
        f"  w{i}: {{source: 10.1.1.{i}, profile: p{i}}}\n" for i in range(66)) + "hosts:\n" + "".join(
        f"  - {{name: h{i}.test, address: 10.{i >> 16}.{i >> 8 & 255}.{i & 255}}}\n" for i in range(65536))
    out = sp.apply(text, check=False)
    h.same(out.returncode, 2, out.stderr[-500:])
    assert "hosts" in out.stderr, out.stderr[-500:]
    h.same(sp.json("status")[0]["policy_version"], 0, "nothing is in force")
    h.same(sp.down(), 0)


h.main()
