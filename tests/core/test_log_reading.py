"""A segment is checked while other threads run: who reads a journal beside a session must not stop it."""

import threading
import time

import pytest

from pyrt import model
from pyrt._core.log import Damaged, Reader
from pyrt.journal import Journal, segments
from pyrt.ports import Sync


def test_other_threads_run_while_a_segment_is_checked(tmp_path):
    with Journal.open(tmp_path / "j", segment_size=16 << 20) as journal:
        for n in range(4_000):
            journal.append(model.Alarmed(severity="warning", code="X", text="x" * 3_000, ts=n), Sync.SOON, n)
            if n % 500 == 0:
                journal.sync(60)
        journal.sync(60)
    data = segments.segment_path(tmp_path / "j", 1).read_bytes()
    took, seqs = [], set()

    def read():
        begun = time.perf_counter()
        seqs.add(Reader(data).end_seq)
        took.append(time.perf_counter() - begun)

    shares = []
    for n in range(1, 5):  # compared with the work itself, and the best of several: the machine may be busy
        reader = threading.Thread(target=read)
        longest, last = 0.0, time.perf_counter()
        reader.start()  # returns when this thread may go on
        while len(took) < n:
            now = time.perf_counter()
            longest, last = max(longest, now - last), now
        reader.join()
        shares.append(max(longest, time.perf_counter() - last) / took[-1])
    assert len(seqs) == 1
    assert min(seqs) > 4_000
    assert min(shares) < 0.5, shares


def test_a_spoiled_chain_is_still_found(tmp_path):
    with Journal.open(tmp_path / "j", segment_size=1 << 20) as journal:
        for n in range(1_100):
            journal.append(model.Alarmed(severity="warning", code="X", text="x", ts=n), Sync.SOON, n)
        journal.sync(60)
    path = segments.segment_path(tmp_path / "j", 1)
    whole = path.read_bytes()
    records = list(Reader(whole).records(0))
    assert len(records) > 1_100
    at = whole.find(records[5].payload) if records[5].payload else 5_000
    spoiled = whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    with pytest.raises(Damaged, match=r"record \d+"):
        Reader(spoiled)
