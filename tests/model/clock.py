#!/usr/bin/env python3
"""clock.py - the rules of the one clock (src/rules.md) as a model: every interleaving of some small worlds, explored to the end.

An application changes a value (store, then publish; or store, purge, publish; or one order; or it ends its streams with a
`close`, or announces with a `hint`) while clients come: a stream, a plain reader that asks again as soon as the stream or
the poller has been told something, and a long poller. One node, one URL, one channel (in one world the reader asks for
another URL, without a channel, that the same order purges). Some worlds add a validator that is weak, an origin that goes
down, or a channel log that forgets. Steps are atomic; everything between them may interleave. Every world runs through the
same steps. Checked in every run:

  stream    the body and what it receives cover every value from its first to the last; the last one is the final one
  notified  the reader never gets a value older than the message that made it ask, except marked while the origin is down
  purged    a plain request that came after an acknowledged purge never gets a value older than the change it announced
  poller    no message twice; every message accepted after its request arrived, or, marked, what the log has forgotten is in
            what its timeout answers; that is nothing older than a message that answered it before, except while the origin is down
  refetch   while the log forgets and the origin answers, one refetch is enough to hold from: no stream ends up marked
  ends      no run comes back to where it was: everybody is served after a bounded number of steps, however they interleave

  clock.py            the rules as written: prints the number of states, exit 0
  clock.py MUTANT     one rule broken: prints a shortest counterexample, exit 1 (0 if none: then the rule is not needed)
  clock.py all        the rules and every mutant; exit 0 when the rules hold and every mutant is caught

The mutants, and the rule that each of them breaks:

  stamp-late        C3  the stamp is taken when the answer arrives
  weak-304          C3  a 304 to a validator too coarse to tell 0 from 1 moves the stamp
  weak-conditional  C3  a fetch that must move the stamp is conditional though the validator is weak
  no-purge-check    C4  a purge deletes the object, nothing bars a fill that began before it
  join-any          C5  a request joins a flight that began before what it must see
  split-order       C1  an order is applied in two halves, message first
  from-now          C6  a stream subscribes from now on instead of from its stamp
  replay-close      C6  a close above the stamp is replayed, and ends the hold that comes back because of it
  replay-hint       C6  a hint above the stamp is replayed, and sends the hold back to the object it was to replace
  skip-close        C6  a close above the stamp is passed over, the hold starts from the object
  skip-hint         C6  a hint above the stamp is passed over, the hold starts from the object
  poll-old          M2  a long poll holds from an object with a message above its stamp
  poll-from-stamp   M2  the cursor of a long poll starts at the stamp of the object
  poll-from-answer  M2  the cursor of a long poll starts when it begins to hold
  no-aging          M3  a message does not make the object older for plain requests
  forget-last       M3  a dropped channel does not answer with its floor: it has no last message
  forget-floor      D4  dropping an idle channel raises no floor: made anew, it claims that nothing was missed
  evict-any         D4  eviction passes the stamp of a fetch that is not yet an object or a hold
  never-marked      D5  a hold whose refetch fails does not start from what there is, but refetches again

Not in the model: ids (D1, D2), readers that fall off (D3), pacing (M4), several channels, variants or nodes, and time.
"""
import re
import sys
from collections import deque, namedtuple

MUTANTS = {name: rule + ' ' + text for name, rule, text in re.findall(r'^  ([a-z0-9-]+) +([CDM]\d)  (.+)$', __doc__, re.M)}

# own: the reader asks for the URL of the channel, not for another one that is purged   weak: the validator cannot tell 0 from 1
# forgets: messages are evicted and the idle channel is dropped
World = namedtuple('World', 'name script own weak forgets', defaults=(True, False, False))


def worlds():
    def changes(*each):         # each 'x y' of them is one change: the steps of the application that bring about the next value
        return [(what, k) for k, steps in enumerate(each, 1) for what in steps.split()]

    for steps in ('store send', 'down store send up', 'store send down up'):
        yield World(steps, changes(steps))
    yield World('store send, twice', changes(*['store send'] * 2))
    yield World('store order, twice', changes(*['store order'] * 2))
    yield World('store order, twice, other URL', changes(*['store order'] * 2), own=False)
    for steps in ('store send', 'expires store send', 'store expires send', 'store send expires', 'store purge expires send',
                  'store purge send expires'):
        yield World(steps + ', weak validator', changes(steps), weak=True)
    for kind in ('close', 'hint'):
        for each in ('store send', 'store ' + kind), ('store ' + kind, 'store send'), ('store %s down up' % kind, 'store send'):
            yield World(', '.join(each), changes(*each))
    yield World('store send, twice, log forgets', changes(*['store send'] * 2), forgets=True)
    yield World('store purge send, twice', changes(*['store purge send'] * 2))


# log: every (position, kind, value) ever accepted on the channel   base: index of the first one kept, None: the channel is dropped
#   floor: the channel claims to know all above it   shard: the floor of a channel that is dropped or made anew
# purge: position of the last purge   acked: value announced by it   obj: None or (body, stamp)
# flights: ((stamp, None or the object that it validates, None or the answer), ..) running fetches, oldest first
# stream: ('new',) ('wait', need, again) ('got', body, stamp, again) ('live', cursor, (values..), passes) ('marked',)
# plain: ('idle',) ('ask', must) ('wait', need, must) ('done', must, body)
# poll: ('new', seen) ('wait', need, arrival, seen) ('got', stamp, body, arrival, seen) ('held', cursor, body, arrival, seen)
#   body: what its timeout answers, None if it is from before an outage, marked
#   arrival of a held one: every message above it will come; where its request arrived, unless the log has forgotten that, marked
State = namedtuple('State', 'app db pos log base floor shard purge acked obj flights stream plain poll')
START = State(0, 0, 0, (), 0, 0, 0, 0, 0, (0, 0), (), ('new',), ('idle',), ('new', ()))


def kept(s):
    return () if s.base is None else s.log[s.base:]


def floor(s):
    return s.shard if s.base is None else s.floor


def last(s, m):             # where the channel's last message stands; a dropped channel answers with its floor (M3)
    if s.base is None and m == 'forget-last':
        return 0
    return kept(s)[-1][0] if kept(s) else floor(s)


def opened(s):              # a channel is made by its first message or hold, and knows nothing of what was before (D4)
    return s if s.base is not None else s._replace(base=len(s.log), floor=s.shard)


def accept(s, kind, k):     # C1: the next position
    t = opened(s)
    return t._replace(pos=s.pos + 1, log=s.log + ((s.pos + 1, kind, k),))


def mark(s, m):             # the last purge, as a test of stamps knows it (C4)
    return 0 if m == 'no-purge-check' else s.purge


def is_down(s, w):
    return [what for what, _ in w.script[:s.app] if what in ('down', 'up')][-1:] == ['down']


def told(s, k):             # a client that has seen a message makes the reader ask
    return s._replace(plain=('ask', k)) if s.plain[0] == 'idle' else s


def application(s, w, m):
    if s.app == len(w.script):
        return
    what, k = w.script[s.app]
    t, p = s._replace(app=s.app + 1), s.pos + 1
    purged = dict(pos=p, purge=p, acked=k, obj=None if m == 'no-purge-check' else s.obj)
    if what == 'store':
        yield 'the application stores %d' % k, t._replace(db=k)
    elif what in ('send', 'close', 'hint'):
        yield '%s of %d is accepted at %d' % (what, k, p), accept(t, what, k)
    elif what == 'purge':
        yield 'purge for %d at %d' % (k, p), t._replace(**purged)
    elif what == 'order' and m == 'split-order':
        if not s.log or s.log[-1][2] < k:
            yield 'message half of order %d at %d' % (k, p), accept(s, 'send', k)
        else:
            yield 'purge half of order %d at %d' % (k, p), t._replace(**purged)
    elif what == 'order':
        yield 'order %d at %d' % (k, p), accept(t, 'send', k)._replace(**purged)
    elif what == 'expires':     # need not move the stamp past anything, for a stream would replay: it may be conditional (C3)
        old = s.obj if w.weak else None
        yield 'the object expires: a fetch leaves at %d to refresh it' % s.pos, t._replace(flights=s.flights + ((s.pos, old, None),))
    else:
        yield 'the origin goes ' + what, t


def origin(s, w, m):
    for i, (st, old, answer) in enumerate(s.flights):
        before, after = s.flights[:i], s.flights[i + 1:]
        if answer is None:
            v = 'error' if is_down(s, w) else '304' if old is not None and old[0] // 2 == s.db // 2 else s.db
            yield 'the fetch of %d is answered with %s' % (st, v), s._replace(flights=before + ((st, old, v),) + after)
        else:
            yield 'the fetch of %d arrives with %s' % (st, answer), arrived(s._replace(flights=before + after), st, old, answer, m)


def arrived(s, st, old, answer, m):
    stamp = s.pos if m == 'stamp-late' else st
    if answer == '304':                     # the validator is weak: the object is what it was (C3)
        answer, stamp = old[0], (stamp if m == 'weak-304' else old[1])

    def served(client, *becomes):           # C5: who is not served leaves the flight
        return becomes if client[0] == 'wait' and (m == 'join-any' or stamp >= client[1]) else client

    if answer == 'error':                   # availability wins, openly: what there is, marked (D5, M2, M3)
        stream = s.stream if m == 'never-marked' else served(s.stream, 'marked')
        return s._replace(stream=stream, plain=served(s.plain, 'done', 0, s.obj[0]), poll=served(s.poll, 'got', s.obj[1], None, *s.poll[2:]))
    obj = s.obj if s.obj is not None and s.obj[1] > stamp else (answer, stamp)
    return s._replace(obj=obj, stream=served(s.stream, 'got', answer, stamp, *s.stream[2:]),
                      plain=served(s.plain, 'done', *s.plain[2:], answer), poll=served(s.poll, 'got', stamp, answer, *s.poll[2:]))


def ask(s, who, need, got, wait, m):        # the one test at lookup (C5)
    need = max(need, mark(s, m))
    if s.obj is not None and s.obj[1] >= need:
        yield '%s: hit %d of %d' % (who, *s.obj), got(*s.obj)
    else:
        yield '%s: miss' % who, wait(need)


def leave(s, who, need, w, m):              # who waits starts a fetch unless one that it may join is running
    if len(s.flights) < 3 and not any(m == 'join-any' or st >= max(need, mark(s, m)) for st, _, _ in s.flights):
        old = s.obj if w.weak and m == 'weak-conditional' else None     # it must move the stamp: unconditional if weak (C3)
        flight = s.pos, old, None
        yield 'a %sfetch leaves at %d for the %s' % ('conditional ' if old else '', s.pos, who), s._replace(flights=s.flights + (flight,))


def stream(s, w, m):
    def asks(need, again):
        return ask(s, 'stream', need, lambda body, stamp: s._replace(stream=('got', body, stamp, again)),
                   lambda need: s._replace(stream=('wait', need, again)), m)

    state = s.stream[0]
    if state == 'new':
        yield from asks(0, False)
    elif state == 'wait':
        yield from leave(s, 'stream', s.stream[1], w, m)
    elif state == 'got':
        _, body, stamp, again = s.stream
        too_old = [at for at, kind, _ in kept(s) if at > stamp and kind != 'send' and m not in ('replay-' + kind, 'skip-' + kind)]
        too_old += [floor(s)] if floor(s) > stamp else []
        if too_old and again:
            yield 'stream: too old to hold from again, holds marked', s._replace(stream=('marked',))
        elif too_old:                       # C6, D5: refetch first
            for label, t in asks(max(too_old), True):
                yield 'stream: %d is too old to hold from; ' % stamp + label, t
        else:
            cursor, passes = s.pos if m == 'from-now' else stamp, s.pos if m in ('skip-close', 'skip-hint') else 0
            yield 'stream: subscribes at %d' % cursor, opened(s)._replace(stream=('live', cursor, (body,), passes))
    elif state == 'live':
        _, cursor, values, passes = s.stream
        for at, kind, k in [x for x in kept(s) if x[0] > cursor][:1]:
            if kind == 'send':
                yield 'stream: receives %d' % k, told(s, k)._replace(stream=('live', at, values + (k,), passes))
            elif at <= passes:
                yield 'stream: passes over the %s of %d' % (kind, k), s._replace(stream=('live', at, values, passes))
            else:                           # the client comes back; for a hint, the hold asks through its link
                yield 'stream: the %s of %d makes it ask again' % (kind, k), told(s, k)._replace(stream=('new',))
    elif state == 'marked' and not is_down(s, w):
        yield 'stream: ended so that the client comes back', s._replace(stream=('new',))


def reader(s, w, m):
    state = s.plain[0]
    if state == 'ask' or (state == 'idle' and s.acked):
        must = s.plain[1] if state == 'ask' else s.acked
        need = 0 if m == 'no-aging' or not w.own else last(s, m)
        yield from ask(s, 'reader', need, lambda body, _: s._replace(plain=('done', must, body)),
                       lambda need: s._replace(plain=('wait', need, must)), m)
    elif state == 'wait':
        yield from leave(s, 'reader', s.plain[1], w, m)


def poller(s, w, m):
    state, seen = s.poll[0], s.poll[-1]

    def asks(need, arrival):
        return ask(s, 'poller', need, lambda body, stamp: s._replace(poll=('got', stamp, body, arrival, seen)),
                   lambda need: s._replace(poll=('wait', need, arrival, seen)), m)

    if state == 'new':
        yield from asks(0 if m == 'poll-old' else last(s, m), s.pos)
    elif state == 'wait':
        yield from leave(s, 'poller', s.poll[1], w, m)
    elif state == 'got':                    # M2: from where the request arrived, for it is not sent the body
        _, stamp, body, arrival, _ = s.poll
        cursor = {'poll-from-stamp': stamp, 'poll-from-answer': s.pos}.get(m, arrival)
        if cursor >= floor(s):
            yield 'poller: holds at %d' % cursor, opened(s)._replace(poll=('held', cursor, body, arrival, seen))
        elif stamp >= floor(s) or body is None:     # no refetch brings back what is forgotten: from what there is (D5)
            yield 'poller: holds at %d, marked' % cursor, opened(s)._replace(poll=('held', cursor, body, stamp, seen))
        else:
            for label, t in asks(floor(s), arrival):
                yield 'poller: %d is too old to hold from; ' % stamp + label, t
    elif state == 'held':                   # a close means nothing to a long poll
        for at, kind, k in [x for x in kept(s) if x[0] > s.poll[1] and x[1] != 'close'][:1]:
            yield 'poller: answered with %s' % k, told(s, k)._replace(poll=('new', seen + (at,)))


def channel(s, w, m):
    if not w.forgets or s.base is None:
        return
    held = [x[1] for x in (s.stream, s.poll) if x[0] in ('live', 'held')]
    if kept(s):             # D4; what a hold has still to read stays (readers that fall off, D3, are not in the model)
        at = kept(s)[0][0]
        young = [st for st, _, _ in s.flights] + ([s.stream[2]] if s.stream[0] == 'got' and s.stream[3] else [])
        if all(c >= at for c in held) and (m == 'evict-any' or all(st >= at for st in young)):
            yield 'the message at %d is evicted' % at, s._replace(base=s.base + 1, floor=at)
    elif not held and s.floor > s.shard:
        yield 'the idle channel is dropped', s._replace(base=None, floor=0, shard=s.shard if m == 'forget-floor' else s.floor)


def steps(s, w, m):
    for actor in (application, origin, stream, reader, poller, channel):
        yield from actor(s, w, m)


def wrong(s, w, done):
    final = max(k for _, k in w.script)
    if s.plain[0] == 'done' and s.plain[2] < s.plain[1]:
        return 'notified or purged: reader got %d, had to get %d' % (s.plain[2], s.plain[1])
    if len(set(s.poll[-1])) != len(s.poll[-1]):
        return 'poller: the same message twice'
    if s.poll[0] == 'held':
        _, cursor, body, arrival, seen = s.poll
        had = max([k for at, _, k in s.log if at in seen], default=0)
        if body is not None and body < had:
            return 'poller: its timeout would answer %d, a message answered %d' % (body, had)
        missed = {at for at, kind, _ in s.log if at > arrival and kind != 'close'} - {at for at, _, _ in kept(s) if at > cursor}
        if missed:
            return 'poller: owed what is above %d, misses the message at %d' % (arrival, min(missed))
    if w.forgets and s.stream[0] == 'marked':
        return 'stream: its refetch is too old to hold from'
    if done and s.stream[0] != 'live':
        return 'stream: never served'
    if done:
        v = s.stream[2]
        if v[-1] != final:
            return 'stream: ends on %d' % v[-1]
        if set(range(v[0], final + 1)) - set(v):
            return 'stream: saw %s' % (v,)
        if s.plain[0] in ('ask', 'wait'):
            return 'reader: never answered'
        if s.poll[0] != 'held':
            return 'poller: %s' % s.poll[0]
    return None


def explore(w, m=None):     # number of states, what is wrong or None, the labels of a shortest way there
    number, states, came, out = {START: 0}, [START], [None], []

    def way(i):
        labels = []
        while came[i]:
            i, label = came[i]
            labels.append(label)
        return labels[::-1]

    for i, s in enumerate(states):
        nxt = list(steps(s, w, m))
        bad = wrong(s, w, not nxt)
        if bad:
            return len(states), bad, way(i)
        for label, t in nxt:
            if t not in number:
                number[t] = len(states)
                states.append(t)
                came.append((i, label))
        out.append([(number[t], label) for label, t in nxt])
    loop = endless(out)
    if loop:
        return len(states), loop[0], way(loop[1]) + ['and again and again:'] + loop[2]
    return len(states), None, None


def endless(out):           # what a loop means, where it is, its labels: one without a way out if there is; None if every run ends
    into = [[] for _ in out]
    for i, nxt in enumerate(out):
        for j, _ in nxt:
            into[j].append(i)
    left = [len(x) for x in into]
    free = [i for i, n in enumerate(left) if not n]
    while free:             # takes away whatever nothing leads to: loops, and what comes after them, remain
        for j, _ in out[free.pop()]:
            left[j] -= 1
            if not left[j]:
                free.append(j)
    can_end = {i for i, nxt in enumerate(out) if not nxt}
    todo = list(can_end)
    while todo:
        for i in into[todo.pop()]:
            if i not in can_end:
                can_end.add(i)
                todo.append(i)
    for i in sorted((i for i, n in enumerate(left) if n), key=lambda i: i in can_end):
        came, queue = {}, deque([i])
        while queue:
            at = queue.popleft()
            for j, label in out[at]:
                if j not in came:
                    came[j] = at, label
                    queue.append(j)
        if i in came:
            at, label = came[i]
            labels = [label]
            while at != i:
                at, label = came[at]
                labels.append(label)
            return 'ends: never, ' + ('unless something else happens' if i in can_end else 'whatever happens'), i, labels[::-1]
    return None


def run(m):
    for w in worlds():
        n, bad, path = explore(w, m)
        if bad:
            return '%s [%s, %d states]' % (bad, w.name, n), path
    return None, None


if __name__ == '__main__':
    arg = sys.argv[1] if len(sys.argv) > 1 else ''
    if arg not in ('', 'all', *MUTANTS):
        sys.exit('no such mutant; there are: ' + ' '.join(MUTANTS))
    ok = True
    if arg in ('', 'all'):
        for w in worlds():
            n, bad, path = explore(w)
            print('\n   '.join(['%-42s %7d states: %s' % (w.name, n, bad or 'holds')] + (path or [])))
            ok = ok and not bad
    for m in MUTANTS if arg == 'all' else [arg] if arg in MUTANTS else []:
        bad, path = run(m)
        print('mutant %-16s %s: %s' % (m, MUTANTS[m], bad or 'NOT caught'))
        if arg == m and bad:
            print('   ' + '\n   '.join(path))
        ok = ok and ((bad is not None) if arg == 'all' else bad is None)
    sys.exit(0 if ok else 1)
