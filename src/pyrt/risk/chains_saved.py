"""The orders in flight, as risk counts them, as one value, so that a start need not fold every fact again."""

import msgspec

from pyrt.model import EXTERNAL, Intended
from pyrt.risk.chains import Chain, Chains
from pyrt.risk.groups import Group


class ChainState(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One order with its replacements, as `Chains` follows it."""

    root: int
    head: int
    next: int
    head_final: bool
    shown: bool
    keys: list[int]
    numbers: list[int]
    unknown: list[int]
    group: int = 0  # place in `groups`, from 1; 0 = none
    exit: int = 0  # place in its group, from 1; 0 = the entry
    proved: bool = False
    canceling: bool = False


class ChainsState(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """What `Chains` follows."""

    chains: list[ChainState]
    intents: list[Intended]
    absent: list[int]
    external: list[tuple[str, int]]
    groups: list[Group] = []
    over: list[tuple[int, int, int]] = []  # the last exits that ended: number, group, exit


def save(kept: Chains) -> ChainsState:
    """The durable part, to go on from."""
    chains = {id(chain): chain for chain in kept._by_number.values()}
    members = [(c.group, c.exit) for c in chains.values()] + [(group, exit_) for exit_, group in kept._over.values()]
    groups = list({id(group): group for group, _ in members if group is not None}.values())
    place = {id(group): at for at, group in enumerate(groups, 1)} | {
        id(exit_): at for group in groups for at, exit_ in enumerate(group.exits, 1)
    }
    return ChainsState(
        chains=[
            ChainState(
                root=c.root,
                head=c.head,
                next=c.next,
                head_final=c.head_final,
                shown=c.shown,
                keys=c.keys,
                numbers=c.numbers,
                unknown=sorted(c.unknown),
                proved=c.proved,
                canceling=c.canceling,
                group=0 if c.group is None else place[id(c.group)],
                exit=0 if c.exit is None else place[id(c.exit)],
            )
            for c in chains.values()
        ],
        intents=list(kept._intents.values()),
        absent=sorted(kept._absent),
        external=list(kept._external.items()),
        groups=groups,
        over=[(number, place[id(group)], place[id(exit_)]) for number, (exit_, group) in kept._over.items()],
    )


def restore(kept: Chains, state: ChainsState) -> None:
    """Go on from a snapshot; the gate has its reservations from its own."""
    for saved in state.chains:
        chain = Chain(saved.root, saved.head)
        chain.next, chain.head_final, chain.shown = saved.next, saved.head_final, saved.shown
        chain.keys, chain.numbers, chain.unknown = saved.keys, saved.numbers, set(saved.unknown)
        chain.proved, chain.canceling = saved.proved, saved.canceling
        if saved.group:
            chain.group = state.groups[saved.group - 1]
            chain.exit = chain.group.exits[saved.exit - 1] if saved.exit else None
        kept._by_number.update((number, chain) for number in saved.numbers)
        if saved.root >> 48 != EXTERNAL:
            kept._by_key.update((key, chain) for key in saved.keys)
    kept._intents = {fact.number: fact for fact in state.intents}
    kept._absent = set(state.absent)
    kept._external = dict(state.external)
    for number, group, exit_ in state.over:
        kept._over[number] = (state.groups[group - 1].exits[exit_ - 1], state.groups[group - 1])
