"""The verdicts of validation over a generated tree: zones of every kind, good and broken, each asked
about, and every answer as the tree was made to be. The same tree and questions beside BIND and Unbound:
`./dev bench differential`."""
import os, sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "bench"))
import harness as h

h.enter(os.path.abspath(__file__), seconds=240)
import differential as d


@h.case
def every_answer_is_what_its_zone_was_made_to_be():
    questions, resolvers = d.run(["sallyport"], 1200)
    states = {q.state for q in questions}
    h.same(states, {"secure", "insecure", "bogus"}, "states that were made")
    found, kinds = d.disagreements(questions, resolvers)
    assert len(kinds) > 80, kinds
    wrong = [d.told(*f) for f in found if not f[4]]
    assert not wrong, f"{len(wrong)} answers are not as made:\n" + "\n".join(wrong[:20])


h.main()
