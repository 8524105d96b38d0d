"""Makes the DigitalMicrograph files of tests/data/dm with a small writer of its own, and checks that RosettaSciIO and ncempy read from them what was put in.

    python make_dm.py dm          (numpy, rosettasciio, ncempy)

Every file holds values v = 1 + index in the order of the array (frames or positions slow), so that a transposed axis shows.
"""
import os
import struct
import sys
import numpy as np

CODES = {"i2": 2, "i4": 3, "u2": 4, "u4": 5, "f4": 6, "f8": 7, "i1": 9, "u1": 10}
DATA_TYPES = {"i2": 1, "f4": 2, "u1": 6, "i4": 7, "i1": 9, "u2": 10, "u4": 11, "f8": 12}


class Writer:
    """Structure words are big-endian, 32 bits in version 3 and 64 in version 4."""

    def __init__(self, version, little):
        self.version, self.order = version, "<" if little else ">"

    def word(self, *words):
        return struct.pack(">%d%s" % (len(words), "I" if self.version == 3 else "Q"), *words)

    def value(self, info, raw):
        return b"%%%%" + self.word(len(info), *info) + raw

    def number(self, code, value):
        return self.value([CODES[code]], np.array(value, self.order + code).tobytes())

    def flag(self, value):
        return self.value([8], bytes([value]))

    def text(self, text):
        raw = text.encode("utf-16-le" if self.order == "<" else "utf-16-be")
        return self.value([20, 4, len(text)], raw)

    def record(self, *fields):
        info = [15, 0, len(fields)]
        for code, _ in fields:
            info += [0, CODES[code]]
        return self.value(info, b"".join(np.array(v, self.order + c).tobytes() for c, v in fields))

    def array(self, values):
        code = values.dtype.str[1:]
        return self.value([20, CODES[code], values.size], values.astype(self.order + code).tobytes())

    def points(self, pairs):
        """An array of records of two numbers."""
        raw = np.array(pairs, self.order + "i2").tobytes()
        return self.value([20, 15, 0, 2, 0, 2, 0, 2, len(pairs)], raw)

    def group(self, entries):
        out = [b"\0\1" + self.word(len(entries))]
        for name, content in entries:
            label = name.encode("latin-1")
            is_group = isinstance(content, list)
            body = self.group(content) if is_group else content
            out.append(bytes([20 if is_group else 21]) + struct.pack(">H", len(label)) + label)
            if self.version == 4:
                out.append(self.word(len(body)))
            out.append(body)
        return b"".join(out)

    def calibration(self, origin, scale, unit):
        return [("Origin", self.number("f4", origin)), ("Scale", self.number("f4", scale)), ("Units", self.text(unit))]

    def image(self, values, dims, data_type, depth, axes, tags):
        return [
            ("ImageData", [
                ("Calibrations", [
                    ("Brightness", self.calibration(0, 1, "")),
                    ("Dimension", [("", self.calibration(*a)) for a in axes]),
                    ("DisplayCalibratedUnits", self.flag(1)),
                ]),
                ("Data", self.array(values)),
                ("DataType", self.number("u4", data_type)),
                ("Dimensions", [("", self.number("u4", d)) for d in dims]),
                ("PixelDepth", self.number("u4", depth)),
            ]),
            ("ImageTags", tags),
            ("Name", self.text("test")),
            ("UniqueID", [("", self.number("u4", 17 + k)) for k in range(4)]),
        ]

    def file(self, path, values, dims, axes, tags):
        """`values` in the order of the file, `dims` and `axes` fastest first."""
        code = values.dtype.str[1:]
        thumbnail = self.image(np.arange(16, dtype="u4"), (4, 4), 23, 4, [(0, 1, "")] * 2, [])
        image = self.image(values, dims, DATA_TYPES[code], values.itemsize, axes, tags)
        root = [
            ("ApplicationBounds", self.record(("i4", 0), ("i4", 0), ("i4", 1050), ("i4", 1680))),
            ("DocumentObjectList", [("", [("AnnotationType", self.number("i4", 20)), ("ImageSource", self.number("u4", 0))])]),
            ("ImageList", [("", thumbnail), ("", image)]),
            ("ImageSourceList", [("", [("ClassName", self.text("ImageSource:Simple")), ("Id", [("", self.number("u4", 0))]),
                                       ("ImageRef", self.number("u4", 1))])]),
            ("Points", self.points([(1, 2), (3, 4)])),
            ("Thumbnails", [("", [("ImageIndex", self.number("u4", 0))])]),
        ]
        body = self.group(root) + b"\0" * 8
        little = 1 if self.order == "<" else 0
        head = struct.pack(">I", self.version) + self.word(len(body) + 4) + struct.pack(">I", little)
        with open(path, "wb") as f:
            f.write(head + body)


def meta(w, form, swapped=None, signal=None):
    entries = [("Format", w.text(form))]
    if swapped is not None:
        entries.append(("Data Order Swapped", w.flag(swapped)))
    if signal:
        entries.append(("Signal", w.text(signal)))
    return [("Meta Data", entries), ("Detectors", [("PMTDF_gain", w.number("f8", 48000.0)), ("PMTBF_gain", w.number("f8", 30500.0))])]


def main(out):
    os.makedirs(out, exist_ok=True)
    from rsciio.digitalmicrograph import file_reader
    from ncempy.io import dm
    nm, s = (0, 0.25, "nm"), (0, 2.25, "s")
    made = {}
    for version in (3, 4):
        for little in (True, False):
            w = Writer(version, little)
            for code in CODES:
                v = (1 + np.arange(3 * 4 * 5)).astype(code).reshape(3, 4, 5)
                name = "stack_%s_%s.dm%d" % (code, "le" if little else "be", version)
                if version == 4 and code not in ("u2", "f8"):
                    continue
                w.file(os.path.join(out, name), v, (5, 4, 3), [nm, nm, s], meta(w, "Image"))
                made[name] = v
    w = Writer(4, True)
    frames = (1 + np.arange(2 * 3 * 4 * 5)).astype("u2").reshape(2, 3, 4, 5)      # scan y, scan x, y, x
    q = (0, 0.5, "1/nm")
    w.file(os.path.join(out, "scan_swapped.dm4"), frames, (5, 4, 3, 2), [q, q, nm, nm], meta(w, "Diffraction image", 1))
    w.file(os.path.join(out, "scan.dm4"), frames.transpose(2, 3, 0, 1), (3, 2, 5, 4), [nm, nm, q, q], meta(w, "Diffraction image", 0))
    spectra = (1 + np.arange(2 * 3 * 7)).astype("f4").reshape(2, 3, 7)
    e = (0, 0.3, "eV")
    w = Writer(3, True)
    w.file(os.path.join(out, "spectra.dm3"), spectra.transpose(2, 0, 1), (3, 2, 7), [nm, nm, e], meta(w, "Spectrum image", None, "EELS"))
    w.file(os.path.join(out, "spectra_swapped.dm3"), spectra, (7, 3, 2), [e, nm, nm], meta(w, "Spectrum image", 1, "EELS"))
    w.file(os.path.join(out, "image.dm3"), np.arange(1, 21).astype("f4").reshape(4, 5), (5, 4), [nm, nm], meta(w, "Image"))
    made["image.dm3"] = np.arange(1, 21).astype("f4").reshape(4, 5)
    for name, want in made.items():
        path = os.path.join(out, name)
        a = file_reader(path)
        got = a[0]["data"]
        if "_be" in name:
            # RosettaSciIO 0.15 takes pixels for little-endian whatever the header says (it reads all other values right).
            got = got.byteswap()
        assert len(a) == 1 and np.array_equal(got, want), (name, "rosettasciio")
        if "_be" not in name:
            b = dm.dmReader(path)
            assert np.array_equal(b["data"], want), (name, "ncempy")
        scales = [x["scale"] for x in a[0]["axes"]]
        assert scales == [2.25, 0.25, 0.25][-len(scales):], (name, scales)
    for name, want, order in (("scan_swapped.dm4", frames, None), ("scan.dm4", frames, None), ("spectra.dm3", spectra, None),
                              ("spectra_swapped.dm3", spectra, None)):
        a = file_reader(os.path.join(out, name))[0]
        print(name, "rosettasciio", a["data"].shape, [str(x["name"]) + ":" + str(x["units"]) for x in a["axes"]],
              sorted(a["data"].ravel().tolist()) == sorted(want.ravel().tolist()))
        b = dm.dmReader(os.path.join(out, name))
        print(name, "ncempy", b["data"].shape, b["pixelUnit"], np.array_equal(b["data"], want))
    print(len(os.listdir(out)), "files")


if __name__ == "__main__":
    main(sys.argv[1])
