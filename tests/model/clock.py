#!/usr/bin/env python3
"""clock.py - the rules of the one clock (src/rules.md) as a model: every interleaving of some small worlds, explored to the end.

An application changes a value (store, then publish; or store, purge, publish; or one order; or it ends its streams with a
`close`, or announces with a `hint`, or tells a second channel) while clients come: a stream, a plain reader that asks again
as soon as the stream or the poller has been told something, and a long poller. One node, one URL (in one world the reader
asks for another URL, without a channel, that the same order purges). Some worlds add a validator, an origin that goes down,
a channel log that forgets, marks that a sweep forgets, answers that teach the URL its channel, a foreign cache between. Steps
are atomic; everything between them may interleave. Every world runs through the same steps. Checked in every run:

  stream    the body and what it receives cover every value from its first to the last; the last one is the final one; it
            starts from nothing older than what was told before it came on a channel that only a tag of its answer names
  notified  the reader never gets a value older than the message that made it ask, except marked: while the origin is down, or
            where a foreign cache is between
  purged    a plain request that came after an acknowledged purge never gets a value older than the change it announced,
            except marked so; after a hard purge not even marked. What was not purged hard is there while the origin is down
  widened   the purge of something else makes nothing stale, whatever was forgotten
  poller    no message twice; every message accepted after its request arrived, or, marked, what the log has forgotten is in
            what its timeout answers; that is nothing older than a message that answered it before, except while the origin is down
  refetch   while the log forgets and the origin answers, one refetch is enough to hold from: no stream ends up marked; neither
            does one that missed nothing, with the origin down
  refresh   an object from which a stream started with a message above its stamp that it does not replay is fetched anew
  ends      no run comes back to where it was: everybody is served after a bounded number of steps, however they interleave

  clock.py            the rules as written: prints the number of states, exit 0
  clock.py MUTANT     one rule broken: prints a shortest counterexample, exit 1 (0 if none: then the rule is not needed)
  clock.py all        the rules and every mutant; exit 0 when the rules hold and every mutant is caught

With GRIPSTACK_FULL=1 larger worlds, too. The mutants, and the rule that each of them breaks:

  stamp-late        C3  the stamp is taken when the answer arrives
  weak-304          C3  a 304 to a validator too coarse to tell 0 from 1 moves the stamp
  weak-conditional  C3  a fetch that must move the stamp is conditional though the validator is weak
  304-teaches-nothing  C3  the channel that a 304 names without a hold is not learned
  no-purge-check    C4  a purge deletes the object, nothing bars a fill that began before it
  post-skips        C4  an unsafe method marks nothing where nothing is stored
  sweep-above-flight  C4  a pass begins at the present clock, though a flight is open that is stamped below it
  sweep-above-decision  C4  a fetch that waits for its turn, with the old object that it took, is not open yet
  seen-not-inherited  C4  a 304 that does not move the stamp makes an object to which no mark was ever applied
  sweep-skips       C4  a pass ends before it has been everywhere
  no-table          C4  what was forgotten is not looked up in the table: it counts as if it had not been
  table-hard        C4  what the table says makes an object gone, not stale
  keep-revoked      C4  a flight that no longer holds a pass up is stored all the same
  join-any          C5  a request joins a flight that began before what it must see
  split-order       C1  an order is applied in two halves, message first
  from-now          C6  a stream subscribes from now on instead of from its stamp
  replay-close      C6  a close above the stamp is replayed, and ends the hold that comes back because of it
  replay-hint       C6  a hint above the stamp is replayed, and sends the hold back to the object it was to replace
  skip-close        C6  a close above the stamp is passed over, the hold starts from the object
  skip-hint         C6  a hint above the stamp is passed over, the hold starts from the object
  no-own-tag        M1  a message on a channel that only a tag of its own answer names does not make a stream hold refetch
  foreign-refetch   M1  a message on a channel of another variant makes a stream hold refetch
  no-refresh        M1  a message that a stream hold does not replay starts no refresh
  private-teaches-nothing  M1  the channel that an answer names which is private to its client is not learned
  leaves-clean      M1  a channel that leaves the union takes along that its last message made the URL's objects older
  poll-old          M2  a long poll holds from an object with a message above its stamp
  poll-from-stamp   M2  the cursor of a long poll starts at the stamp of the object
  poll-from-answer  M2  the cursor of a long poll starts when it begins to hold
  no-aging          M3  a message does not make the object older for plain requests
  forget-last       M3  a dropped channel does not answer with its floor: it has no last message
  post-deletes      M5  an unsafe method deletes what is stored
  forget-floor      D4  dropping an idle channel raises no floor: made anew, it claims that nothing was missed
  evict-any         D4  eviction passes the stamp of a fetch that is not yet an object or a hold
  never-marked      D5  a hold whose refetch fails does not start from what there is, but refetches again
  age-ignored       X1  an answer that was in a foreign cache is stamped when its fetch leaves here
  age-exact         X1  whole seconds of `Age` are taken as exact: no second is allowed for what they leave out
  age-no-overlap    X1  what the foreign cache took to fetch it is left out of where a replay starts
  age-joined        X1  whoever waits takes an answer that is too old by its age as if it were not
  age-kept          X1  an answer that is too old by its age is kept as fresh

Not in the model: ids (D1, D2), readers that fall off (D3), pacing (M4), several nodes, and time but for X1.
"""
import os
import re
import sys
from collections import deque, namedtuple

MUTANTS = {name: rule + ' ' + text for name, rule, text in re.findall(r'^  ([a-z0-9-]+) +([CDMX]\d)  (.+)$', __doc__, re.M)}
FULL = os.environ.get('GRIPSTACK_FULL') == '1'

# own: the reader asks for the URL of the channel, not for another one that is purged
# validator: strong, or weak: cannot tell 0 from 1   forgets: messages are evicted and the idle channel is dropped
# who: the clients that come   tagged: the second channel is named by a tag of every answer, not by another variant's alone
# teaches: only a 304, or only an answer that is private to the stream, names the channel   leaves: the stream goes away
# empty: nothing is stored at first   sweeps: passes forget marks, some of them may revoke the oldest flight
# lags: answers are stamped one position too low (X1 as the marks see it)   ticks: a foreign cache is between, for so long
World = namedtuple('World', 'name script own validator forgets who tagged teaches leaves empty sweeps lags ticks',
                   defaults=(True, '', False, 'srp', False, '', False, False, '', False, 0))
SECOND, SLOWEST = 2, 2      # ticks: a second, and what the foreign cache takes at most for a fetch


def worlds():
    def changes(*each):         # each 'x y' of them is one change: the steps of the application that bring about the next value
        return [(what, k) for k, steps in enumerate(each, 1) for what in steps.split()]

    def world(more, *each, **fields):
        return World(', '.join(each) + (', ' + more if more else ''), changes(*each), **fields)

    for steps in ('store send', 'down store send up', 'store send down up'):
        yield world('', steps)
    yield World('store send, twice', changes(*['store send'] * 2))
    yield World('store order, twice', changes(*['store order'] * 2))
    yield World('store order, twice, other URL', changes(*['store order'] * 2), own=False)
    for steps in ('store send', 'expires store send', 'store expires send', 'store send expires', 'store purge expires send',
                  'store purge send expires'):
        yield world('weak validator', steps, validator='weak')
    for kind in ('close', 'hint'):
        for each in ('store send', 'store ' + kind), ('store ' + kind, 'store send'), ('store %s down up' % kind, 'store send'):
            yield world('', *each)
    yield World('store send, twice, log forgets', changes(*['store send'] * 2), forgets=True)
    # M1: a second channel
    for steps in ('store tell', 'store tell down up'):
        yield world('other variant', steps)
    yield world('own tag', 'store tell', tagged=True)
    for each in ('store tell', 'store send'), ('store send', 'store tell'):
        yield world('other variant', *each, who='sr')
        yield world('own tag', *each, who='sr', tagged=True)
    # the union of channels
    for each in (('expires names store send',), ('names expires store send',), ('store names expires send',),
                 ('names expires store send', 'store send')):
        yield world('304 teaches', *each, who='r', validator='strong', teaches='304')
    for each in ('store send',), ('store send', 'store send'), ('store send', 'store purge send'):
        yield world('private teaches', *each, who='sr', teaches='private')
        yield world('private teaches, leaves', *each, who='sr', teaches='private', leaves=True)
    # M5: an unsafe method, also beside a request that goes alone
    for each in ('pass store post',), ('pass store post send',), ('pass store post down up',), ('pass store post', 'store post'):
        yield world('nothing stored', *each, who='r', empty=True)
    for each in ('store post send',), ('store post down up',), ('store post down send up',):
        yield world('', *each)
    # C4: marks that are forgotten
    for each in (('store purge', 'store hard down up'), ('store hard', 'store purge down up'), ('store hard expires down up', 'store purge'),
                 ('expires store hard', 'collide down up')):
        yield world('sweep', *each, who='r', sweeps='forgets')
        yield world('sweep revokes', *each, who='r', sweeps='revokes')
    for each in (('store decides hard collide down up',), ('decides store hard down up',), ('decides store purge down up',),
                 ('expires store purge collide',)):
        yield world('sweep, weak validator', *each, who='r', validator='weak', sweeps='forgets')
        yield world('sweep revokes, weak validator', *each, who='r', validator='weak', sweeps='revokes')
    yield world('sweep', 'collide collide store purge', who='r', sweeps='forgets')
    for each in ('collide expires store purge down up',), ('store hard collide expires down up',):
        yield world('sweep, behind', *each, who='r', sweeps='forgets', lags=True)
    # X1: a foreign cache
    yield world('foreign cache', 'store send', who='sr', empty=True, ticks=6)
    yield world('foreign cache', 'store far purge', who='r', ticks=5)
    yield World('store purge send, twice', changes(*['store purge send'] * 2))
    if FULL:
        yield world('other variant', 'store tell', 'store send', tagged=False)
        yield world('own tag', 'store tell', 'store send', tagged=True)
        yield world('own tag, poller', 'store send', 'store tell', tagged=True)
        yield world('sweep revokes', 'store purge', 'store hard', 'collide down up', who='r', sweeps='revokes')
        yield world('sweep revokes, weak validator', 'store decides purge expires', 'store hard down up', who='r', validator='weak', sweeps='revokes')
        yield world('foreign cache', 'far store send', who='sr', empty=True, ticks=6)
        yield world('foreign cache, poller', 'store send', who='srp', empty=True, ticks=5)
        yield world('foreign cache', 'store send', 'store send', who='s', empty=True, ticks=6)
        yield world('foreign cache', 'store far purge', 'store far purge', who='r', empty=True, ticks=5)


# log: every (position, kind, value) ever accepted; 'tell': on the second channel   base: index of the first one kept, None: the
#   channel is dropped   floor: the channel claims to know all above it   shard: the floor of a channel that is dropped or made anew
# times: tick of each position   marks: ((position, kind), ..) the last one of each kind that is not forgotten
# forgot: up to where marks may be forgotten   table: last position of all that share the slot   sweep: where a pass began, or None
# acked: value that the last purge announced, and the last hard one   named: an answer that named the channel has come
# union: the URL knows the channel   aged: what a channel that left has left behind   waits: a fetch waits for its turn: (at, old)
# far: the foreign cache: its object or None, (value, tick of arrival), and the fetches that it has begun
# had: since the last hard purge something came that is to be kept, if only as the last good copy
# stream: ('new',) ('wait', need, must, again) ('got', body, stamp, must, again) ('live', cursor, (values..), passes, owed) ('marked',) ('gone',)
#   must: the value that was told before it came   owed: the object is to be fetched anew, at or above this; None: it starts too old
# plain: ('idle',) ('ask', must) ('wait', need, must, hard) ('done', must, hard, body)
#   must 0: it is marked   body None: an error, 'lost': for want of a copy that should be there
# poll: ('new', seen) ('wait', need, arrival, seen) ('got', stamp, body, arrival, seen) ('held', cursor, body, arrival, seen)
#   body: what its timeout answers, None if it is from before an outage, marked
#   arrival of a held one: every message above it will come; where its request arrived, unless the log has forgotten that, marked
# need: (stamp for messages, stamp for marks, arrival)
State = namedtuple('State', 'app db pos log base floor shard times marks forgot table sweep acked named union aged obj flights waits '
                            'now far had stream plain poll')
# stamp: where a replay starts, and what messages are compared to   mark: what marks are compared to; the same, without a foreign cache
# seen: up to where marks were applied   did: the last of those that made it stale
Object = namedtuple('Object', 'body stamp mark seen did', defaults=(0, 0))
# start: the clock when it left   maker: whom it is for, where that matters   revoked: it is not to be stored   tick: when it left
# old: None or the object that it validates   hop: the fetch of the foreign cache that it joined   answer: None or what came, and its Age
Flight = namedtuple('Flight', 'start old answer maker revoked tick hop', defaults=(None, None, '', False, 0, None))
Far = namedtuple('Far', 'obj fetches count', defaults=(None, (), 0))
Fetch = namedtuple('Fetch', 'number started value kept')


def first(w):
    client = {'s': ('new',), 'r': ('idle',), 'p': ('new', ())}
    stream, plain, poll = (client[c] if c in w.who else ('off', ()) for c in 'srp')
    return State(0, 0, 0, (), 0, 0, 0, (), (), 0, 0, None, (0, 0), not w.teaches, not w.teaches, 0,
                 None if w.empty else Object(0, 0, 0), (), None, 0, Far() if w.ticks else None, False, stream, plain, poll)


def on_own(x):              # of the messages: those on the channel of the hold
    return x[1] != 'tell'


def kept(s):
    return () if s.base is None else s.log[s.base:]


def floor(s):
    return s.shard if s.base is None else s.floor


def last(s, m):             # where the channel's last message stands; a dropped channel answers with its floor (M3)
    if s.base is None and m == 'forget-last':
        return 0
    return kept(s)[-1][0] if kept(s) else floor(s)


def aging(s, w, m):         # up to where messages have made the URL's objects older (M3)
    return max(last(s, m) if s.union and w.own else 0, s.aged)


def opened(s):              # a channel is made by its first message or hold, and knows nothing of what was before (D4)
    return s if s.base is not None else s._replace(base=len(s.log), floor=s.shard)


def accept(s, kind, k):     # C1: the next position
    t = opened(s)
    return t._replace(pos=s.pos + 1, times=s.times + (s.now,), log=s.log + ((s.pos + 1, kind, k),))


def purged(s, m, kind, k):  # C4: the same; nothing is walked
    p, acked = s.pos + 1, (s.acked[0], k) if kind == 'hard' else s.acked
    others = tuple(x for x in s.marks if x[1] != kind)
    t = s._replace(pos=p, times=s.times + (s.now,), table=p, acked=(k if kind != 'collide' else acked[0], acked[1]), had=s.had and kind != 'hard')
    if kind == 'collide' or kind == 'post' and m == 'post-skips' and s.obj is None:
        return t
    return t._replace(marks=others + ((p, kind),), obj=None if m == 'no-purge-check' or kind == 'post' and m == 'post-deletes' else s.obj)


def mark(s, m, who=''):     # the last purge that is remembered (C4); what an unsafe method did does not stop streams (M5)
    return 0 if m == 'no-purge-check' else max([at for at, kind in s.marks if kind != 'post' or who != 'stream'], default=0)


def tabled(s, m, seen):     # what speaks for the marks that are forgotten, for what has seen less (C4)
    return s.table if seen < s.forgot and m != 'no-table' else 0


def last_mark(s, m, obj, who=''):
    return max(mark(s, m, who), obj.did, tabled(s, m, obj.seen))


def is_dead(s, m, obj):
    return any(kind == 'hard' and at > max(obj.seen, obj.mark) for at, kind in s.marks) and m != 'no-purge-check'


def there(s, m):            # the stored object, unless it was purged hard
    return None if s.obj is None or is_dead(s, m, s.obj) else s.obj


def looked(s, w, m, obj):   # marks are applied to it (C4)
    if not w.sweeps:
        return obj
    stale = last_mark(s, m, obj)
    return obj._replace(seen=s.pos, did=stale if stale > obj.mark else 0)


def serves(s, m, stamp, mark, need):        # C5
    return stamp >= need[0] and mark >= need[1] and mark >= min(need[2], tabled(s, m, mark))


def is_down(s, w):
    return [what for what, _ in w.script[:s.app] if what in ('down', 'up')][-1:] == ['down']


def names(s, w):            # the application's answers name the channel
    return w.teaches != '304' or any(what == 'names' for what, _ in w.script[:s.app])


def told(s, k):             # a client that has seen a message makes the reader ask
    return s._replace(plain=('ask', k)) if s.plain[0] == 'idle' else s


def flies(s, flight):
    return s._replace(flights=s.flights + (flight,))


def application(s, w, m):
    if s.app == len(w.script):
        return
    what, k = w.script[s.app]
    t, p = s._replace(app=s.app + 1), s.pos + 1
    if what == 'store':
        yield 'the application stores %d' % k, t._replace(db=k)
    elif what in ('send', 'close', 'hint', 'tell'):
        yield '%s of %d is accepted at %d' % (what, k, p), accept(t, what, k)
    elif what in ('purge', 'hard', 'post', 'collide'):
        text = {'hard': 'hard purge', 'post': 'unsafe method', 'collide': 'purge of something in the same slot'}.get(what, what)
        yield '%s for %d at %d' % (text, k, p), purged(t, m, what, k)
    elif what == 'order' and m == 'split-order':
        if not s.log or s.log[-1][2] < k:
            yield 'message half of order %d at %d' % (k, p), accept(s, 'send', k)
        else:
            yield 'purge half of order %d at %d' % (k, p), purged(t, m, 'purge', k)
    elif what == 'order':
        both = purged(t, m, 'purge', k)
        yield 'order %d at %d' % (k, p), both._replace(log=accept(t, 'send', k).log, base=opened(t).base, floor=opened(t).floor)
    elif what == 'far':         # a foreign cache lets go of what it has, and keeps nothing of what it is about to get
        far = Far(None, tuple(x._replace(kept=False) for x in s.far.fetches), s.far.count)
        yield 'the foreign cache is purged', t._replace(far=far)
    elif what == 'expires':     # need not move the stamp past anything, for a stream would replay: it may be conditional (C3)
        old = there(s, m) if w.validator else None
        yield 'the object expires: a fetch leaves at %d to refresh it' % s.pos, flies(t, Flight(s.pos, old))
    elif what == 'decides':
        yield 'the object expires: a fetch is decided on, and waits for its turn', t._replace(waits=(s.pos, there(s, m)))
    elif what == 'pass':
        yield 'a request goes alone, at %d' % s.pos, flies(t, Flight(s.pos, maker='itself'))
    else:
        yield {'names': 'answers name the channel from now on'}.get(what, 'the origin goes ' + what), t


def turn(s, w, m):
    if s.waits is not None:
        old = s.waits[1]
        old = None if old is None or is_dead(s, m, old) or not w.validator else old
        yield 'the turn comes: a fetch leaves at %d' % s.pos, flies(s._replace(waits=None), Flight(s.pos, old))


def origin(s, w, m):
    for i, f in enumerate(s.flights):
        before, after = s.flights[:i], s.flights[i + 1:]
        if f.answer is not None:
            yield 'the fetch of %d arrives with %s' % (f.start, '%s, Age: %s' % f.answer if w.ticks else f.answer[0]), \
                arrived(s._replace(flights=before + after), w, f, m)
        elif w.ticks:
            obj, fetches, count = s.far
            if obj is not None:
                answer = obj[0], (s.now - obj[1]) // SECOND
                yield 'the foreign cache answers the fetch of %d with %d, Age: %d' % (f.start, *answer), \
                    s._replace(flights=before + (f._replace(answer=answer),) + after)
            elif f.hop is None and any(x.kept for x in fetches):
                number = [x.number for x in fetches if x.kept][-1]
                yield 'the fetch of %d joins one of the foreign cache' % f.start, s._replace(flights=before + (f._replace(hop=number),) + after)
            elif f.hop is None:
                far = Far(obj, fetches + (Fetch(count, s.now, None, True),), count + 1)
                yield 'the foreign cache asks, for the fetch of %d' % f.start, \
                    s._replace(flights=before + (f._replace(hop=count),) + after, far=far)
        else:
            same = f.old is not None and (f.old.body == s.db if w.validator == 'strong' else f.old.body // 2 == s.db // 2)
            answer = 'error' if is_down(s, w) else '304' if same else s.db
            yield 'the fetch of %d is answered with %s' % (f.start, answer), \
                s._replace(flights=before + (f._replace(answer=(answer, names(s, w))),) + after)


def foreign(s, w, m):       # a cache that is not ours, between here and the application; and time, which it measures in seconds
    if not w.ticks:
        return
    obj, fetches, count = s.far
    if obj is None and not fetches and count == 0:
        yield 'the foreign cache asks, for somebody else', s._replace(far=Far(obj, (Fetch(count, s.now, None, True),), count + 1))
    for i, x in enumerate(fetches):
        if x.value is None:
            yield 'the application answers the foreign cache with %d' % s.db, \
                s._replace(far=Far(obj, fetches[:i] + (x._replace(value=s.db),) + fetches[i + 1:], count))
        else:
            flights = tuple(f._replace(answer=(x.value, 0)) if f.hop == x.number and f.answer is None else f for f in s.flights)
            yield 'the foreign cache gets %d' % x.value, \
                s._replace(far=Far((x.value, s.now) if x.kept else obj, fetches[:i] + fetches[i + 1:], count), flights=flights)
    if s.now < w.ticks and all(s.now < x.started + SLOWEST for x in fetches):
        yield 'it is %.1f s' % ((s.now + 1) / SECOND), s._replace(now=s.now + 1)


def stamps(s, w, f, m):     # what messages, and what marks are compared to (C3, X1)
    start = s.pos if m == 'stamp-late' else f.start
    if w.lags:
        return start, max(start - 1, 0)
    if not w.ticks or m == 'age-ignored':
        return start, start
    moment = f.tick - f.answer[1] * SECOND - (0 if m == 'age-exact' else SECOND)
    at = [sum(t <= x for t in s.times) for x in (moment - (0 if m == 'age-no-overlap' else SLOWEST), moment)]
    return min(start, at[0]), min(start, at[1])


def arrived(s, w, f, m):
    answer, naming = f.answer
    if answer == 'error':                   # availability wins, openly: what there is, marked (D5, M2, M3)
        obj = there(s, m)
        body = obj.body if obj else 'lost' if s.had or not w.empty and not s.acked[1] else None
        plain, poll = ('done', 0, s.plain[-1], body), obj and ('got', obj.stamp, None, *s.poll[2:])
        stream = s.stream if m == 'never-marked' else ('marked',)
        return reach(s, w, m, f, f.start, f.start, stream=(stream, stream), plain=(plain, plain), poll=(poll, poll))
    if answer == '304' and is_dead(s, m, f.old):        # it confirms what is gone: once more, without a condition
        return flies(s, f._replace(old=None, answer=None))
    stamp, mark = stamps(s, w, f, m)
    obj = Object(answer, stamp, mark, mark if w.sweeps else 0)
    if answer == '304':                     # if the validator is weak, the object is what it was, with all that was done to it (C3, C4)
        moves = w.validator == 'strong' or m == 'weak-304'
        obj = obj._replace(body=f.old.body) if moves else f.old
        if not moves and m == 'seen-not-inherited':
            obj = obj._replace(seen=s.pos, did=0)
    private = w.teaches == 'private' and f.maker == 'stream'
    if w.teaches and (private or w.teaches == '304' and naming):
        teaches_nothing = m == 'private-teaches-nothing' and private or m == '304-teaches-nothing' and answer == '304'
        s = s._replace(named=True, union=s.union or not teaches_nothing)
    if m == 'age-kept' and is_behind(w):
        obj = obj._replace(stamp=f.start, mark=f.start)
    dead = is_dead(s, m, obj)
    if is_behind(w):                        # X1: what the table says counts for all marks, and makes it stale, not gone (C4)
        did = s.table if s.table > obj.mark else 0
        obj, dead = obj._replace(seen=s.pos, did=did), did and m == 'table-hard'
        s = s._replace(had=answer >= s.acked[1] and not f.revoked)
    if not private and not dead and (not f.revoked or m == 'keep-revoked') and (s.obj is None or s.obj.stamp <= obj.stamp):
        s = s._replace(obj=obj if is_behind(w) else looked(s, w, m, obj))
    stream, poll = ('got', obj.body, obj.stamp, *s.stream[2:]), ('got', obj.stamp, obj.body, *s.poll[2:])
    return reach(s, w, m, f, obj.stamp, obj.mark, stream=(stream, stream), plain=(('done', *s.plain[2:], obj.body), ('done', 0, 0, obj.body)),
                 poll=(poll, ('got', obj.stamp, None, *s.poll[2:])))


def reach(s, w, m, f, stamp, mark, **becomes):      # what each client becomes that the answer serves, and that it does not serve
    for who, (served, otherwise) in becomes.items():
        client = getattr(s, who)
        if client[0] != 'wait' or not may_join(w, f, who):
            continue
        need = client[1]
        if m == 'join-any' or serves(s, m, stamp, mark, need) or m == 'age-joined' and is_behind(w) and serves(s, m, f.start, f.start, need):
            s = s._replace(**{who: served})
        elif is_behind(w) and serves(s, m, f.start, f.start, need):     # X1: another fetch brings nothing better: marked
            s = s._replace(**{who: otherwise})                          # C5: who is not served leaves the flight
    return s


def is_behind(w):
    return w.ticks or w.lags


def may_join(w, f, who):    # who goes alone, and who gets what is private, is joined by nobody
    return f.maker != 'itself' and (w.teaches != 'private' or (f.maker == 'stream') == (who == 'stream'))


def ask(s, w, who, need, got, wait, m):     # the one test at lookup (C5)
    obj = there(s, m)
    if obj is not None and obj.stamp >= need and obj.mark >= last_mark(s, m, obj, who) and not (w.teaches == 'private' and who == 'stream'):
        yield '%s: hit %d of %d' % (who, obj.body, obj.stamp), got(obj.body, obj.stamp)
    else:
        yield '%s: miss' % who, wait((need, mark(s, m, who), s.pos if w.sweeps else 0))


def leave(s, who, need, w, m):              # who waits starts a fetch unless one that it may join is running
    need = need[0], max(need[1], mark(s, m, who)), need[2]
    if len(s.flights) < 3 and not any(may_join(w, f, who) and (m == 'join-any' or serves(s, m, f.start, f.start, need)) for f in s.flights):
        # it must move the stamp: unconditional if weak (C3)
        old = there(s, m) if w.validator == 'strong' or w.validator == 'weak' and m == 'weak-conditional' else None
        maker = who if w.teaches == 'private' and who == 'stream' else ''
        flight = Flight(s.pos, old, None, maker, False, s.now)
        yield 'a %sfetch leaves at %d for the %s' % ('conditional ' if old else '', s.pos, who), flies(s, flight)


def stream(s, w, m):
    state, tells = s.stream[0], [(at, k) for at, kind, k in s.log if kind == 'tell']

    def asks(need, must, again):
        return ask(s, w, 'stream', need, lambda body, stamp: s._replace(stream=('got', body, stamp, must, again)),
                   lambda need: s._replace(stream=('wait', need, must, again)), m)

    if state == 'new':                      # M1: one that the hold does not replay, named by its own answer, makes it refetch
        counts = tells and (w.tagged and m != 'no-own-tag' or m == 'foreign-refetch')
        yield from asks(tells[-1][0] if counts else 0, tells[-1][1] if tells and w.tagged else 0, False)
    elif state == 'wait':
        yield from leave(s, 'stream', s.stream[1], w, m)
    elif state == 'got':
        _, body, stamp, must, again = s.stream
        too_old = [at for at, kind, _ in kept(s) if at > stamp and kind in ('close', 'hint') and m not in ('replay-' + kind, 'skip-' + kind)]
        too_old += [floor(s)] if floor(s) > stamp else []
        if too_old and again:
            yield 'stream: too old to hold from again, holds marked', s._replace(stream=('marked',))
        elif too_old:                       # C6, D5: refetch first
            for label, t in asks(max(too_old), must, True):
                yield 'stream: %d is too old to hold from; ' % stamp + label, t
        else:
            cursor, passes = s.pos if m == 'from-now' else stamp, s.pos if m in ('skip-close', 'skip-hint') else 0
            owed = None if body < must else tells[-1][0] if tells and tells[-1][0] > stamp and not w.tagged else 0
            t = opened(s)._replace(stream=('live', cursor, (body,), passes, owed))
            if owed and m != 'no-refresh' and all(f.start < owed for f in s.flights):     # M1: nobody waits for it
                t = flies(t, Flight(s.pos))
            yield 'stream: subscribes at %d' % cursor, t
    elif state == 'live':
        _, cursor, values, passes, owed = s.stream
        for at, kind, k in [x for x in kept(s) if x[0] > cursor and on_own(x)][:1]:
            if kind == 'send':
                yield 'stream: receives %d' % k, told(s, k)._replace(stream=('live', at, values + (k,), passes, owed))
            elif at <= passes:
                yield 'stream: passes over the %s of %d' % (kind, k), s._replace(stream=('live', at, values, passes, owed))
            else:                           # the client comes back; for a hint, the hold asks through its link
                yield 'stream: the %s of %d makes it ask again' % (kind, k), told(s, k)._replace(stream=('new',))
        if w.leaves:                        # the last answer that names the channel: what it made older stays so
            yield 'stream: goes away', s._replace(stream=('gone',), union=False, aged=s.aged if m == 'leaves-clean' else max(s.aged, last(s, m)))
    elif state == 'marked' and not is_down(s, w):
        yield 'stream: ended so that the client comes back', s._replace(stream=('new',))


def reader(s, w, m):
    state = s.plain[0]
    if state == 'idle' and w.teaches == '304' and s.named and s.log:
        yield 'reader: has seen %d somewhere else' % s.log[-1][2], told(s, s.log[-1][2])
    if state == 'ask' or state == 'idle' and s.acked[0]:
        must, hard = s.plain[1] if state == 'ask' else s.acked[0], s.acked[1]
        yield from ask(s, w, 'plain', 0 if m == 'no-aging' else aging(s, w, m), lambda body, _: s._replace(plain=('done', must, hard, body)),
                       lambda need: s._replace(plain=('wait', need, must, hard)), m)
    elif state == 'wait':
        yield from leave(s, 'plain', s.plain[1], w, m)


def poller(s, w, m):
    state, seen = s.poll[0], s.poll[-1]

    def asks(need, arrival):
        return ask(s, w, 'poll', need, lambda body, stamp: s._replace(poll=('got', stamp, body, arrival, seen)),
                   lambda need: s._replace(poll=('wait', need, arrival, seen)), m)

    if state == 'new':
        yield from asks(0 if m == 'poll-old' else aging(s, w, m), s.pos)
    elif state == 'wait':
        yield from leave(s, 'poll', s.poll[1], w, m)
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
        for at, kind, k in [x for x in kept(s) if x[0] > s.poll[1] and on_own(x) and x[1] != 'close'][:1]:
            yield 'poller: answered with %s' % k, told(s, k)._replace(poll=('new', seen + (at,)))


def channel(s, w, m):
    if not w.forgets or s.base is None:
        return
    held = [x[1] for x in (s.stream, s.poll) if x[0] in ('live', 'held')]
    if kept(s):             # D4; what a hold has still to read stays (readers that fall off, D3, are not in the model)
        at = kept(s)[0][0]
        young = [f.start for f in s.flights] + ([s.stream[2]] if s.stream[0] == 'got' and s.stream[4] else [])
        if all(c >= at for c in held) and (m == 'evict-any' or all(st >= at for st in young)):
            yield 'the message at %d is evicted' % at, s._replace(base=s.base + 1, floor=at)
    elif not held and s.floor > s.shard:
        yield 'the idle channel is dropped', s._replace(base=None, floor=0, shard=s.shard if m == 'forget-floor' else s.floor)


def sweep(s, w, m):         # C4: a pass over all that is stored; when it ends, marks up to where it began may go
    if not w.sweeps:
        return
    newest = max([at for at, _ in s.marks], default=0)
    if s.obj is not None and s.obj.seen < max(newest, s.sweep or 0):
        yield 'marks up to %d are applied to the object' % s.pos, s._replace(obj=there(s, m) and looked(s, w, m, s.obj))
    still = [] if m == 'sweep-above-flight' else [f.start for f in s.flights if not f.revoked]
    still += [s.waits[0]] if s.waits is not None and m != 'sweep-above-decision' else []
    p = min(still + [s.pos])
    if s.sweep is None and s.forgot < min(p, s.table):
        yield 'a pass begins at %d' % p, s._replace(sweep=p)
    if s.sweep is not None and (s.obj is None or s.obj.seen >= s.sweep or m == 'sweep-skips'):
        yield 'the pass ends: marks up to %d are forgotten' % s.sweep, \
            s._replace(sweep=None, forgot=s.sweep, marks=tuple(x for x in s.marks if x[0] > s.sweep))
    for i, f in enumerate(s.flights):
        if w.sweeps == 'revokes' and not f.revoked and newest > f.start:
            yield 'marks are many: the fetch of %d is no longer to be stored' % f.start, \
                s._replace(flights=s.flights[:i] + (f._replace(revoked=True),) + s.flights[i + 1:])


def steps(s, w, m):
    for actor in (application, origin, foreign, turn, stream, reader, poller, channel, sweep):
        yield from actor(s, w, m)


def wrong(s, w, done):
    if s.plain[0] == 'done':
        _, must, hard, body = s.plain
        if body == 'lost':
            return 'kept: the reader got an error, the copy that was there is lost'
        if body is not None and body < max(must, hard):
            return 'notified or purged: reader got %d, had to get %d' % (body, max(must, hard))
    if not s.acked[0] and not is_behind(w) and s.obj is not None and s.obj.mark < last_mark(s, None, s.obj):
        return 'widened: the purge of something else makes the object stale'
    if len(set(s.poll[-1])) != len(s.poll[-1]):
        return 'poller: the same message twice'
    if s.poll[0] == 'held':
        _, cursor, body, arrival, seen = s.poll
        had = max([k for at, _, k in s.log if at in seen], default=0)
        if body is not None and body < had:
            return 'poller: its timeout would answer %d, a message answered %d' % (body, had)
        missed = {x[0] for x in s.log if x[0] > arrival and x[1] != 'close' and on_own(x)} - {at for at, _, _ in kept(s) if at > cursor}
        if missed:
            return 'poller: owed what is above %d, misses the message at %d' % (arrival, min(missed))
    if s.stream[0] == 'marked':
        if w.forgets:
            return 'stream: its refetch is too old to hold from'
        if not w.tagged and not any(on_own(x) for x in s.log):
            return 'stream: marked, though it missed nothing'
    if s.stream[0] == 'live' and s.stream[4] is None:
        return 'stream: starts from what is older than what was told before it came'
    if not done:
        return None
    if s.stream[0] == 'live':
        values, owed = s.stream[2], s.stream[4]
        later = {k for what, k in w.script if what in ('send', 'order', 'close', 'hint') and k > values[0]}
        if later and values[-1] != max(later):
            return 'stream: ends on %d' % values[-1]
        if later - set(values):
            return 'stream: saw %s' % (values,)
        if owed and s.obj.stamp < owed and ('down', 1) not in w.script:
            return 'refresh: the object stays at %d, a message came at %d' % (s.obj.stamp, owed)
    elif s.stream[0] not in ('off', 'gone'):
        return 'stream: never served'
    if s.plain[0] in ('ask', 'wait'):
        return 'reader: never answered'
    if s.poll[0] not in ('off', 'held'):
        return 'poller: %s' % s.poll[0]
    return None


def explore(w, m=None):     # number of states, what is wrong or None, the labels of a shortest way there
    number, states, came, out = {first(w): 0}, [first(w)], [None], []

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


def differs(m, w):          # in the other worlds this mutant does what the rules say
    if m.startswith('age-'):
        return w.ticks
    if m in ('304-teaches-nothing', 'private-teaches-nothing', 'leaves-clean'):
        return w.teaches
    if m in ('no-own-tag', 'foreign-refetch', 'no-refresh'):
        return any(what == 'tell' for what, _ in w.script)
    if m in ('seen-not-inherited', 'no-table', 'table-hard', 'keep-revoked') or m.startswith('sweep-'):
        return w.sweeps
    return m not in ('post-skips', 'post-deletes') or any(what == 'post' for what, _ in w.script)


def run(m):
    for w in filter(lambda w: differs(m, w), worlds()):
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
            print('\n   '.join(['%-60s %7d states: %s' % (w.name, n, bad or 'holds')] + (path or [])))
            ok = ok and not bad
    for m in MUTANTS if arg == 'all' else [arg] if arg in MUTANTS else []:
        bad, path = run(m)
        print('mutant %-23s %s: %s' % (m, MUTANTS[m], bad or 'NOT caught'))
        if arg == m and bad:
            print('   ' + '\n   '.join(path))
        ok = ok and ((bad is not None) if arg == 'all' else bad is None)
    sys.exit(0 if ok else 1)
