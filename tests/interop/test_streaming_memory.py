"""Streaming takes the same memory whatever the size of the store; --memory decides what is streamed.
Sizes from which it would show; streaming_memory.py measures any."""

import pytest

from streaming_memory import LIMIT, make_store, peak_of_training


@pytest.fixture(scope="module")
def peaks(tmp_path_factory):
    """Peaks in MB of training on 120 and 480 MB, streamed, and on the larger one held in memory."""
    folder = tmp_path_factory.mktemp("streaming")
    found = []
    for megabytes in (120, 480):
        store = make_store(folder / "store.h5", megabytes)
        found.append(peak_of_training(store, folder / str(megabytes), "64M"))
        if megabytes == 480:
            found.append(peak_of_training(store, folder / "resident", "1G"))
        store.unlink()
    return dict(zip(("small", "large", "resident"), found))


@pytest.mark.parametrize("kind", ["VmHWM", "RssAnon"])
def test_memory_does_not_grow_with_the_store(peaks, kind):
    assert peaks["large"][kind] < LIMIT * peaks["small"][kind], peaks


def test_memory_option_is_honoured(peaks):
    assert peaks["resident"]["RssAnon"] > peaks["large"]["RssAnon"] + 0.9 * 480, peaks
