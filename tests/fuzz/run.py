"""Run fuzz targets built with libFuzzer on their seeds.

usage: run.py [TARGET] [SECONDS]    all targets without a name; 60 s each
A crash is kept in build/fuzz/crashes/; make it a seed and a named unit case before mending it.
"""
import glob, os, subprocess, sys, tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
targets = {os.path.basename(p)[5:]: p for p in sorted(glob.glob(os.path.join(ROOT, "build/fuzz/tests/fuzz_*")))}
args = sys.argv[1:]
seconds = int(args.pop()) if args and args[-1].isdigit() else 60
names = args or list(targets)
unknown = [n for n in names if n not in targets]
if unknown or not targets:
    sys.exit(f"no such target: {', '.join(unknown)}; there are: {', '.join(targets)}")
crashes = os.path.join(ROOT, "build/fuzz/crashes")
os.makedirs(crashes, exist_ok=True)
failed = []
for name in names:
    seeds = glob.glob(os.path.join(ROOT, f"tests/fuzz/*/seeds/{name}"))
    with tempfile.TemporaryDirectory(prefix="sallyport-fuzz.") as corpus:
        p = subprocess.run([targets[name], f"-max_total_time={seconds}", "-timeout=10", "-rss_limit_mb=2048",
                            "-print_final_stats=1", f"-artifact_prefix={crashes}/{name}-", corpus, *seeds],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    runs = [l.split()[-1] for l in p.stdout.splitlines() if "number_of_executed_units" in l]
    print(f"{'not ok' if p.returncode else 'ok'} {name}: {runs[0] if runs else '?'} runs in {seconds} s", flush=True)
    if p.returncode:
        print(p.stdout[-4000:])
        failed.append(name)
print(f"{len(names) - len(failed)} passed, {len(failed)} failed")
sys.exit(1 if failed else 0)
