"""Opens `.hspy` files in HyperSpy and says how it sees them; fails on the first that it cannot open. Needs `pip install hyperspy`.

    python scripts/check_hspy.py FILE.hspy ...
"""

import sys

import hyperspy.api as hs

for path in sys.argv[1:]:
    signal = hs.load(path)
    axes = [f"{a.name} {a.size} x {a.scale:g} {a.units}" for a in signal.axes_manager._get_axes_in_natural_order()]
    print(f"{path}: {signal!r} {signal.data.dtype}; {'; '.join(axes)}; {signal.metadata.get_item('Signal.quantity', '')}")
