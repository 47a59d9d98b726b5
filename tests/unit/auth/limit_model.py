"""auth/limit.c against a model of GCRA, with plans, costs, clocks and deaths that hypothesis makes up.

Usage: limit_model.py PROGRAM, where PROGRAM is the built limit_driver.
"""

import subprocess
import sys

from hypothesis import given, settings, strategies as st

UNIT = 8
STALL = 10**9 // UNIT
APART = 10**8 // UNIT
TIME_MAX = 2**53
ADMITTED, RATE, COST, IN_FLIGHT = range(4)
START = 10**12
WORKERS = 3
TICKETS = 200

settings.register_profile("here", max_examples=400, deadline=None, derandomize=True, database=None)
settings.load_profile("here")


class Driver:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(10) == 0


driver = None


def up(n, unit):
    return -(-n // unit)


class Bucket:
    """One identity that has its own cell."""

    def __init__(self, now):
        self.arrival = max(now, 2)
        self.held = set()  # tickets

    def take(self, ticket, plan, cost, now):
        interval, most, in_flight = plan
        rated = interval != 0
        interval = min(up(interval, UNIT), TIME_MAX)
        units = min(most, TIME_MAX // interval) if rated else 0
        burst = interval * units
        owed = self.arrival - now
        arrival = now if owed <= 0 else now + burst if owed > burst + STALL else self.arrival
        if rated and cost > units:
            return self.answer(COST, rated, interval, burst, arrival - now)
        if in_flight and len(self.held) >= in_flight:
            return self.answer(IN_FLIGHT, rated, interval, burst, arrival - now, 1000)
        charge = cost * interval if rated else 0
        late = arrival + charge - now - burst
        if charge and late > 0:
            self.arrival = arrival
            return self.answer(RATE, rated, interval, burst, arrival - now, up(late * UNIT, 10**6))
        self.arrival = max(arrival + charge, 2)
        self.held.add(ticket)
        return self.answer(ADMITTED, rated, interval, burst, arrival + charge - now)

    @staticmethod
    def answer(result, rated, interval, burst, owed, retry=0):
        if not rated:
            return [result, 2**64 - 1, 0, retry]
        return [result, max(burst - owed, 0) // interval, up(owed * UNIT, 10**6), retry]


intervals = st.one_of(
    st.sampled_from([60 * 10**9, 10**9, 10**7, 10**5, 1000, 0, 1, 2**64 - 1, 86400 * 10**9]), st.integers(1, 10**11)
)
bursts = st.one_of(st.integers(1, 20), st.sampled_from([1000, 10**6, 2**32 - 1]))
plans = st.tuples(intervals, bursts, st.integers(0, 4))
costs = st.one_of(st.integers(0, 3), st.sampled_from([5, 10, 10**6, 2**32 - 1]))
clocks = st.one_of(
    st.just(0),
    st.integers(0, 10**6),
    st.integers(0, 10**10),
    st.integers(-5 * 10**6, 0),
    st.integers(-3 * 10**9, 0),
    st.sampled_from([-(10**11), 10**14]),
)
actions = st.one_of(
    st.tuples(st.just("take"), st.integers(0, 7), st.integers(0, 2), costs, st.integers(0, WORKERS - 1)),
    st.tuples(st.just("take"), st.just(1), st.just(0), costs, st.just(0)),
    st.tuples(st.just("end"), st.integers(0, TICKETS)),
    st.tuples(st.just("clock"), clocks),
    st.tuples(st.just("wipe"), st.integers(0, WORKERS - 1)),
)


@given(st.tuples(plans, plans, plans), st.lists(actions, max_size=80))
def test_answers(three, script):
    """Eight identities that change between three plans: each answer is the model's."""
    driver("new", 64)
    buckets, tickets, now = {}, {}, START
    for number, action in enumerate(script):
        if action[0] == "clock":
            now = max(now + action[1], 0)
        elif action[0] == "take":
            _, name, which, cost, worker = action
            answer = driver("take", number, worker, name, *three[which], cost, now)
            known = name in buckets
            bucket = buckets.setdefault(name, Bucket(now // UNIT))
            assert list(map(int, answer)) == bucket.take(number, three[which], cost, now // UNIT)
            if int(answer[0]) == COST and not known:
                del buckets[name]  # it takes no cell
            if int(answer[0]) == ADMITTED:
                tickets[number] = name, worker
        elif action[0] == "end" and tickets:
            number = sorted(tickets)[action[1] % len(tickets)]
            name, worker = tickets.pop(number)
            driver("release", number, worker)
            buckets[name].held.remove(number)
        elif action[0] == "wipe":
            driver("wipe", action[1])
            for number in [number for number, (_, worker) in tickets.items() if worker == action[1]]:
                buckets[tickets.pop(number)[0]].held.remove(number)


steady = st.tuples(
    st.sampled_from([60 * 10**9, 10**9, 333333334, 10**7, 10**5, 1000]), st.integers(1, 30), st.just(0)
)


waits_costs = st.tuples(st.integers(0, 40), st.integers(1, 6))
names_waits = st.tuples(st.integers(0, 30), st.integers(0, 12), st.integers(1, 3), st.booleans())


@given(steady, st.lists(waits_costs, max_size=100))
def test_windows(plan, script):
    """The admitted units in every window."""
    driver("new", 8)
    now, admitted = START, []
    for number, (wait, cost) in enumerate(script):
        now += wait * plan[0] // 4
        if int(driver("take", number, 0, 1, *plan, cost, now)[0]) == ADMITTED:
            admitted.append((now, cost))
            driver("release", number, 0)
    for i, (begin, _) in enumerate(admitted):
        units = 0
        for end, cost in admitted[i:]:
            units += cost
            assert units * plan[0] <= plan[1] * plan[0] + end - begin


@given(steady, st.lists(names_waits, max_size=120))
def test_full_table(plan, script):
    """Thirty identities in a table of eight cells: an identity with a debt or a request in flight keeps its
    cell. The total is bounded by the cells and the shared bucket."""
    driver("new", 8)
    now, owed, holds = START, {}, {}
    for number, (name, wait, cost, keep) in enumerate(script):
        now += wait * plan[0] // 20
        had = {other: driver("has", other) == ["1"] for other in owed}
        result, remaining, _, _ = map(int, driver("take", number, 0, name, *plan, cost, now))
        assert remaining <= plan[1]
        for other, there in had.items():
            if there and (holds.get(other) or owed[other] > now // UNIT - APART):
                assert driver("has", other) == ["1"]
        if result != ADMITTED:
            continue
        own = driver("has", name) == ["1"]
        if own:
            start = max(owed.get(name, 0), now // UNIT) if had.get(name) else now // UNIT
            owed[name] = start + cost * up(plan[0], UNIT)
            assert owed[name] - now // UNIT <= plan[1] * up(plan[0], UNIT)
        if keep:
            holds[name] = holds.get(name, False) or own
        else:
            driver("release", number, 0)


if __name__ == "__main__":
    driver = Driver(sys.argv[1])
    for test in (test_answers, test_windows, test_full_table):
        test()
        print(f"{test.__name__}: passed")
    driver.close()
