"""Writes tests/data/formats: small files of many formats by programs other than emstream, and what other readers make of them.

    pip install numpy h5py hdf5plugin mrcfile tifffile rosettasciio ncempy libertem "zarr<3"
    python make_formats.py [PART ...]

`formats.json` lists the files with scan shape, frame shape, axes as (scale, unit) and the reader that confirmed the array; the arrays themselves
(ny, nx, height, width) are in `arrays/NAME.npz` as float64. Where no program writes a format, the file is written here from its published
description and read back with the named reader.
"""
import json, os, struct, sys, shutil
from pathlib import Path
import numpy as np

HERE = Path(__file__).parent / "formats"
ENTRIES = {}
RNG = np.random.default_rng(7)


def add(name, array, nav, reader, axes=None, format=None, shape="unknown", options=None, rtol=1e-6):
    """Keeps what a reader found: `array` of any shape, scan shape `nav`; axes y, x, sig y, sig x as (scale, unit) or None."""
    array = np.asarray(array)
    array = array.reshape(tuple(nav) + array.shape[-2:])
    (HERE / "arrays").mkdir(exist_ok=True, parents=True)
    file = "arrays/" + name.removeprefix("../").replace("/", "-") + ("" if not options else "-" + "-".join(map(str, options.values()))) + ".npz"
    np.savez_compressed(HERE / file, a=np.ascontiguousarray(array, dtype=np.float64))
    ENTRIES[file] = dict(file=name, array=file, format=format, nav=list(nav), sig=list(array.shape[-2:]), dtype=str(array.dtype),
                         axes=axes or [None] * 4, shape=shape, reader=reader, options=options or {})


def same(a, b, what):
    a, b = np.asarray(a), np.asarray(b)
    assert a.size == b.size and np.array_equal(a.reshape(b.shape), b), f"{what}: another reader sees other pixels"


# ---------------------------------------------------------------- Merlin
def mib_header(number, length, chips, w, h, kind, layout, depth, exposure=1e-3):
    text = f"MQ1,{number:06d},{length:05d},{chips:02d},{w:04d},{h:04d},{kind},{layout:>6},{(1 << chips) - 1:02x},"
    text += f"2024-05-06 07:08:09.000001,{exposure:.6f},0,0,0," + ",".join(["1.000000E+1"] + ["5.110000E+2"] * 7)
    text += ",3RX,175,511,000,000" + ",MQ1A,2024-05-06T07:08:09.000001178Z," + f"{int(exposure * 1e9)}ns,{depth},"
    return text.encode().ljust(length, b"\0")


def mib_write(path, frames, kind, depth, first=1, chips=1, layout="1x1", size=None, length=384):
    with open(path, "wb") as f:
        for i, frame in enumerate(frames):
            h, w = size or frame.shape
            f.write(mib_header(first + i, length, chips, w, h, kind, layout, depth))
            f.write(frame.tobytes())


def hdr_write(path, frames, trigger, extra=""):
    path.write_text("HDR,\t\nTime and Date Stamp (day, mnth, yr, hr, min, s):\t06/05/2024 07:08:09\n"
                    f"Frames in Acquisition (Number):\t{frames}\nFrames per Trigger (Number):\t{trigger}\n{extra}"
                    "Chip Mode  (SPM, CSM, CM, CSCM):\tSPM\nEnd\t\n")


def encode_raw(frame, bits):
    """LiberTEM's encoders of raw Medipix rows."""
    from libertem.io.dataset import mib
    h, w = frame.shape
    if bits == 1:
        out = np.zeros((h, w // 8), np.uint8); mib.encode_r1(frame.astype(np.uint8), out)
    elif bits == 6:
        out = np.zeros((h, w), np.uint8); mib.encode_r6(frame.astype(np.uint8), out)
    elif bits == 12:
        out = np.zeros((h, 2 * w), np.uint8); mib.encode_r12(frame.astype(np.uint16), out)
    else:
        high, low = encode_raw(frame >> 12, 12), encode_raw(frame & 0xfff, 12)
        out = np.concatenate([high, low])
    return out


def libertem_frames(kind, path, **options):
    import libertem.api as lt
    from libertem.udf.base import NoOpUDF
    from libertem.udf.raw import PickUDF
    with lt.Context.make_with("inline") as ctx:
        # Its mapped files must have whole frames of items, which headers spoil.
        from libertem.io.dataset.base import BufferedBackend
        ds = ctx.load(kind, path=str(path), io_backend=BufferedBackend(), **options)
        roi = np.ones(ds.shape.nav, bool)
        return ctx.run_udf(ds, PickUDF(), roi=roi)["intensity"].raw_data


def mib():
    from rsciio.quantumdetector import file_reader, load_mib_data
    d = HERE / "mib"; shutil.rmtree(d, ignore_errors=True); d.mkdir(parents=True)
    for name, kind, dtype, depth, high in [("counts6.mib", "U08", ">u1", 6, 64), ("counts12.mib", "U16", ">u2", 12, 4096),
                                           ("counts24.mib", "U32", ">u4", 24, 1 << 24)]:
        frames = RNG.integers(0, high, (6, 10, 14)).astype(dtype)
        mib_write(d / name, frames, kind, depth)
        if depth != 6:
            hdr_write((d / name).with_suffix(".hdr"), 6, 3)
        # The reader of signals turns images upside down; the rows as stored are what LiberTEM and the plain reader see.
        a = np.flip(file_reader(str(d / name))[0]["data"], axis=-2)
        same(a, load_mib_data(str(d / name)), name)
        same(a, frames, name)
        add(f"mib/{name}", np.ascontiguousarray(a).astype(a.dtype.newbyteorder("=")), (1, 6) if depth == 6 else (2, 3), "rosettasciio",
            format="mib", shape="unknown" if depth == 6 else "stored")
    # One acquisition in three files, opened by any of them, and by its .hdr; ScanX and ScanY as some versions write them.
    frames = RNG.integers(0, 4096, (8, 6, 8)).astype(">u2")
    for i, part in enumerate([frames[:3], frames[3:4], frames[4:]]):
        mib_write(d / f"parts_{i + 9}.mib", part, "U16", 12, first=[1, 4, 5][i])
    # Another acquisition whose name differs in the number only.
    mib_write(d / "parts_8.mib", frames[::-1], "U16", 12)
    hdr_write(d / "parts.hdr", 8, 1, "ScanX\t4\nScanY\t2\n")
    a = np.concatenate([libertem_frames("mib", d / f"parts_{i}.mib", nav_shape=(n,), disable_glob=True) for i, n in [(9, 3), (10, 1), (11, 4)]])
    same(a, frames, "parts")
    for name in ["parts_10.mib", "parts_9.mib"]:
        add(f"mib/{name}", a, (2, 4), "libertem", format="mib", shape="stored")
    for bits, w in [(1, 64), (6, 16), (12, 12), (24, 8)]:
        frames = RNG.integers(0, 1 << bits, (4, 8, w)).astype(np.uint32)
        raw = [encode_raw(f, bits) for f in frames]
        mib_write(d / f"raw{bits}.mib", raw, "R64", bits, size=(8, 2 * w if bits == 24 else w))
        if bits == 24:  # LiberTEM 0.16 delivers the lower 16 bits of these, and only the first frame of a file right.
            for i, one in enumerate(raw):
                mib_write(d / "tmp.mib", [one], "R64", bits, size=(8, 2 * w))
                same(libertem_frames("mib", d / "tmp.mib", nav_shape=(1,), disable_glob=True), frames[i] & 0xffff, f"raw {bits}, frame {i}")
            (d / "tmp.mib").unlink()
            a = frames
        else:
            a = libertem_frames("mib", d / f"raw{bits}.mib", nav_shape=(2, 2), disable_glob=True)
        same(a, frames, f"raw {bits}")
        a = a.astype([np.uint8, np.uint16, np.uint32][(bits > 6) + (bits > 12)])
        add(f"mib/raw{bits}.mib", a, (1, 4), "libertem", format="mib")
        if bits == 24:
            continue
        # Four chips of 64: rows hold chips 4, 3, 2, 1; the lower two (3, 4) are turned around.
        edge = 64
        n = 2 if bits < 12 else 1
        frames = RNG.integers(0, 1 << bits, (n, 2 * edge, 2 * edge)).astype(np.uint32)
        if bits > 1:
            frames[RNG.random(frames.shape) < 0.9] = 0
        raws = []
        for f in frames:
            one, two = f[:edge, :edge], f[:edge, edge:]
            three, four = f[edge:, :edge][::-1, ::-1], f[edge:, edge:][::-1, ::-1]
            raws.append(encode_raw(np.ascontiguousarray(np.concatenate([four, three, two, one], axis=1)), bits))
        mib_write(d / f"quad{bits}.mib", raws, "R64", bits, chips=4, layout="2x2", size=(edge, 4 * edge), length=768)
        a = libertem_frames("mib", d / f"quad{bits}.mib", nav_shape=(n,), disable_glob=True).astype([np.uint8, np.uint16][bits > 6])
        same(a, frames, f"quad {bits}")
        add(f"mib/quad{bits}.mib", a, (1, n), "libertem", format="mib")


# ---------------------------------------------------------------- EMPAD
def empad():
    from rsciio.empad import file_reader
    d = HERE / "empad"; shutil.rmtree(d, ignore_errors=True); d.mkdir(parents=True)

    def frames(n):
        raw = np.zeros((n, 130, 128), "<f4")
        raw[:, 60:68, 60:68] = RNG.normal(3, 1, (n, 8, 8))
        raw[:, 0, ::9] = -1.5
        raw[:, 128:, :4] = np.arange(8, dtype="f4").reshape(2, 4) + 7
        raw[:, 127, 5] = np.arange(n)
        return raw

    measured = ("<iom_measurements><optics.get_full_scan_field_of_view>(4e-08, 6e-08)</optics.get_full_scan_field_of_view>"
                "<calibrated_pixelsize>0.25e-9</calibrated_pixelsize></iom_measurements>")
    cases = [
        ("scan.xml", "scan_x1_y3.raw", 3, f"<pix_x>1</pix_x><pix_y>3</pix_y>{measured}", (3, 1),
         [(40 / 3, "nm"), (60, "nm"), (0.25, "1/nm"), (0.25, "1/nm")]),
        ("series.xml", "D:\\data\\series.raw", 2, '<scan_parameters mode="acquire"><series_count>2</series_count></scan_parameters>', (1, 2), None),
        ("new.xml", "scan_x2_y1.raw", 2, "<iom_measurements><full_scan_field_of_view><x>3.6e-08</x><scale_factor>0.72</scale_factor>"
         "</full_scan_field_of_view></iom_measurements>", (1, 2), None),
    ]
    for xml, raw, n, more, nav, axes in cases:
        data = frames(n)
        data.tofile(d / raw.split("\\")[-1])
        (d / xml).write_text(f'<?xml version="1.0" ?>\n<root><raw_file filename="{raw}"/><timestamp isoformat="2024-05-06T07:08:09"/>{more}</root>\n')
        if "\\" in raw:  # rosettasciio looks for the name as it is
            (d / "tmp.xml").write_text((d / xml).read_text().replace("D:\\data\\", ""))
            a = file_reader(str(d / "tmp.xml"))[0]; (d / "tmp.xml").unlink()
        else:
            a = file_reader(str(d / xml))[0]
        same(a["data"], data[:, :128], xml)
        add(f"empad/{xml}", a["data"], nav, "rosettasciio", axes, format="empad", shape="derived" if xml == "new.xml" else "stored")
    add("empad/scan_x2_y1.raw", a["data"], (1, 2), "rosettasciio", format="empad", shape="derived")


# ---------------------------------------------------------------- MRC
def mrc():
    import mrcfile
    from mrcfile.dtypes import HEADER_DTYPE, get_ext_header_dtype
    d = HERE / "mrc"; shutil.rmtree(d, ignore_errors=True); d.mkdir(parents=True)
    A = "Å"
    for name, dtype, volume in [("mode0.mrc", "i1", False), ("mode1.mrc", "i2", False), ("mode2.mrc", "f4", True), ("mode6.mrc", "u2", False),
                                ("mode12.mrc", "f2", False)]:
        if dtype[0] == "f":
            a = RNG.normal(0, 100, (5, 7, 9)).astype(dtype)
        else:
            i = np.iinfo(dtype); a = RNG.integers(i.min, i.max, (5, 7, 9), dtype=dtype, endpoint=True)
        with mrcfile.new(d / name, overwrite=True) as m:
            m.set_data(a)
            m.set_volume() if volume else m.set_image_stack()
            if dtype != "i2":
                m.voxel_size = (1.5, 2.5, 4.0 if volume else 1.0)
        with mrcfile.open(d / name) as m:
            v = m.voxel_size
            axes = None if dtype == "i2" else [None, (4.0, A) if volume else None, (float(v.y), A), (float(v.x), A)]
            add(f"mrc/{name}", m.data, (1, 5), "mrcfile", axes, format="mrc")
            data = m.data.copy(); header = m.header.copy()
        if dtype in ("i2", "f4"):
            h = header.astype(HEADER_DTYPE.newbyteorder(">")); h["machst"] = [0x11, 0x11, 0, 0]
            big = d / name.replace("mode", "big")
            big.write_bytes(h.tobytes() + data.astype(data.dtype.newbyteorder(">")).tobytes())
            with mrcfile.open(big) as m:
                same(m.data, data, big)
                add(f"mrc/{big.name}", m.data.astype(dtype), (1, 5), "mrcfile", axes, format="mrc")
    # FEI's extended header: the pixel size is only there.
    a = RNG.integers(0, 60000, (3, 6, 4), dtype="u2")
    ext = np.zeros(3, get_ext_header_dtype(b"FEI1", "<"))
    ext["Metadata size"] = ext.dtype.itemsize; ext["Metadata version"] = 0; ext["HT"] = 200000; ext["Pixel size X"] = 1.25e-10; ext["Pixel size Y"] = 2.5e-10
    ext["Camera length"] = 0.25; ext["Magnification"] = 40000
    with mrcfile.new(d / "fei1.mrc", overwrite=True) as m:
        m.set_data(a); m.set_extended_header(ext); m.header.exttyp = b"FEI1"; m.header.cella = (0, 0, 0)
    with mrcfile.open(d / "fei1.mrc", permissive=True) as m:
        e = m.indexed_extended_header
        add("mrc/fei1.mrc", m.data, (1, 3), "mrcfile", [None, None, (float(e["Pixel size Y"][0]) * 1e10, A), (float(e["Pixel size X"][0]) * 1e10, A)],
            format="mrc")


# ---------------------------------------------------------------- TIA
def ser_write(path, elements, dims, version=0x0220, images=True, positions=None, total=None, gaps=False, steps=(2e-9, 3e-9)):
    codes = {"u1": 1, "u2": 2, "u4": 3, "i1": 4, "i2": 5, "i4": 6, "f4": 7, "f8": 8}
    wide = version >= 0x0220
    word = "<Q" if wide else "<I"
    total = total or len(elements)
    body = b""
    for size, step, unit in dims:
        text, unit = b"Position", unit.encode()
        body += struct.pack("<IddI", size, 0.0, step, 0) + struct.pack("<I", len(text)) + text + struct.pack("<I", len(unit)) + unit
    start = (34 if wide else 30) + len(body)
    places, tags, data = [], [], b""
    for i, e in enumerate(elements):
        places.append(start + len(data))
        code = codes[e.dtype.str[1:]]
        if images:
            head = struct.pack("<ddIddIHII", 0, steps[1], 0, 0, steps[0], 0, code, e.shape[1], e.shape[0])
        else:
            head = struct.pack("<ddIHI", 100.0, 10.0, 0, code, e.size)
        data += head + e.tobytes()
        tags.append(start + len(data))
        if positions is None:
            data += struct.pack("<HHI", 0x4152, 0, 1700000000 + i)
        else:
            data += struct.pack("<HHIdd", 0x4142, 0, 1700000000 + i, *positions[i])
        if gaps and i % 2:
            data += b"\0" * 10
    list_at = start + len(data)
    pad = [0] * (total - len(elements))
    lists = b"".join(struct.pack(word, v) for v in places + pad + tags + pad)
    head = struct.pack("<HHHIIII", 0x4949, 0x0197, version, 0x4122 if images else 0x4120, 0x4152 if positions is None else 0x4142, total, len(elements))
    head += struct.pack(word, list_at) + struct.pack("<I", len(dims))
    path.write_bytes(head + body + data + lists)


def ser():
    from rsciio.tia import file_reader
    from ncempy.io.ser import fileSER
    d = HERE / "ser"; shutil.rmtree(d, ignore_errors=True); d.mkdir(parents=True)

    def check(name, raw, nav, axes, shape, images=True, **more):
        want = raw[..., ::-1, :] if images else raw[:, None, :]
        a = np.asarray(file_reader(str(d / name), **more)[0]["data"])
        same(a, want, name)
        if images:
            with fileSER(str(d / name)) as f:
                for i in range(len(raw)):
                    same(f.getDataset(i)[0], want[i], name)
        add(f"ser/{name}", want, nav, "rosettasciio, ncempy" if images else "rosettasciio", axes, format="ser", shape=shape)

    images = RNG.integers(0, 60000, (6, 5, 8), dtype="u2")
    xy = [(x * 1e-9, y * 2e-9) for y in range(2) for x in range(3)]
    nm = lambda v: (v, "nm")
    # A scan: x runs fastest, the positions say so.
    ser_write(d / "scan_1.ser", images, [(3, 1e-9, "meters"), (2, 2e-9, "meters")], positions=xy)
    check("scan_1.ser", images, (2, 3), [nm(2.0), nm(1.0), nm(2.0), nm(3.0)], "stored")
    stack = RNG.normal(0, 10, (4, 6, 3)).astype("f4")
    ser_write(d / "stack_1.ser", stack, [(4, 0.5, "s")], version=0x0210)
    check("stack_1.ser", stack, (1, 4), [None, (0.5, "s"), nm(2.0), nm(3.0)], "stored")
    short = RNG.integers(-99, 99, (3, 4, 4)).astype("i4")
    ser_write(d / "short_1.ser", short, [(5, 1, "")], total=5, gaps=True)
    check("short_1.ser", short, (1, 3), [None, None, nm(2.0), nm(3.0)], "unknown")
    spectra = RNG.integers(0, 1000, (6, 20)).astype("i2")
    ser_write(d / "spectra_1.ser", spectra, [(3, 1e-9, "meters"), (2, 2e-9, "meters")], images=False, positions=xy, version=0x0210)
    check("spectra_1.ser", spectra, (2, 3), [nm(2.0), nm(1.0), None, (10.0, "eV")], "stored", images=False)


# ---------------------------------------------------------------- TVIPS
def tvips():
    from rsciio.tvips import file_reader, file_writer
    d = HERE / "tvips"; shutil.rmtree(d, ignore_errors=True); d.mkdir(parents=True)

    def signal(a, units):
        axes = [dict(size=n, scale=1.0, offset=0, units="nm", name="xy"[i % 2], navigate=True, index_in_array=i) for i, n in enumerate(a.shape[:-2])]
        axes += [dict(size=n, scale=3.0, offset=0, units=units, name="dydx"[2 * i:2 * i + 2], navigate=False, index_in_array=a.ndim - 2 + i)
                 for i, n in enumerate(a.shape[-2:])]
        return dict(data=a, axes=axes, metadata={}, original_metadata={}, attributes={"_lazy": False})

    for name, dtype, shape, units, more in [("one_000.tvips", "u2", (4, 6, 10), "1/nm", {}),
                                            ("images_000.tvips", "u1", (3, 5, 7), "nm", {}),
                                            ("parts_000.tvips", "u2", (6, 6, 10), "1/nm", dict(max_file_size=256 + 2 * (256 + 120)))]:
        a = RNG.integers(0, np.iinfo(dtype).max, shape).astype(dtype)
        file_writer(str(d / name), signal(a, units), **more)
        s = file_reader(str(d / name))[0]
        same(s["data"], a, name)
        axes = [None, None] + [(float(x["scale"]), x["units"]) for x in s["axes"][-2:]]
        add(f"tvips/{name}", s["data"], (1, len(a)), "rosettasciio", axes, format="tvips")
        if "parts" in name:
            assert (d / "parts_001.tvips").exists(), list(d.iterdir())
            add("tvips/parts_001.tvips", s["data"], (1, len(a)), "rosettasciio", axes, format="tvips")
    # A scan whose frame headers hold the beam's position, and one with frames before it: LiberTEM finds both.
    for name, skip in [("scan_000.tvips", 0), ("late_000.tvips", 4)]:
        a = RNG.integers(0, 999, (12, 4, 6)).astype("u2")
        h = struct.pack("<13i", 256, 2, 6, 4, 16, 0, 0, 1, 1, 0, 200, 0, 128).ljust(256, b"\0")
        for i, f in enumerate(a):
            y, x = divmod(max(i - skip, 0), 4)
            frame = struct.pack("<IIIIfII", i, 1700000000, 0, 0, 0, 0, 2) + b"\0" * 40 + struct.pack("<ff", x, y)
            h += frame.ljust(128, b"\0") + f.tobytes()
        (d / name).write_bytes(h)
        found = libertem_frames("tvips", d / name, nav_shape=(3, 4), sync_offset=0)
        same(found, a, name)
        # emstream leaves the frames before the scan out unless told to read all.
        all_of_it = dict(shape="given", options=dict(nav_shape="3,4")) if skip else dict(shape="derived")
        add(f"tvips/{name}", found, (3, 4), "libertem", format="tvips", **all_of_it)


# ---------------------------------------------------------------- zarr
def zspy():
    """Needs zarr 2 (RosettaSciIO's writer does)."""
    import numcodecs, zarr
    from rsciio.zspy import file_reader, file_writer
    d = HERE / "zspy"; shutil.rmtree(d, ignore_errors=True); d.mkdir(parents=True)

    def signal(a, nav, scales, units):
        axes = [dict(_type="UniformDataAxis", name=f"a{i}", size=n, scale=scales[i], offset=0.5, units=units[i], navigate=i < nav, is_binned=False,
                     index_in_array=i) for i, n in enumerate(a.shape)]
        return dict(data=a, axes=axes, metadata={"General": {"title": "scan"}, "Signal": {"signal_type": "electron_diffraction"}},
                    original_metadata={}, attributes={"_lazy": False, "ragged": False}, learning_results={}, models=None,
                    package_info={"package": "none", "package_version": "0"}, metadata_attributes={})

    scan = RNG.integers(0, 999, (3, 4, 6, 5)).astype("u2")
    stack = RNG.normal(0, 1, (7, 6, 4)).astype("f8")
    spectra = RNG.integers(-9, 999, (3, 5, 11)).astype(">i4")
    full = ([0.5, 0.25, 0.1, 0.2], ["nm", "nm", "1/nm", "1/nm"])
    cases = [
        ("scan.zspy", scan, 2, full, dict(chunks=(2, 3, 6, 5)), (3, 4)),                       # blosc, zstd, shuffle: the default
        ("scan_zip.zspy", scan, 2, full, dict(chunks=(1, 3, 4, 3), store_type="zip"), (3, 4)),  # chunks cut frames
        ("gzip.zspy", scan, 2, full, dict(chunks=(1, 1, 6, 5), compressor=numcodecs.GZip(5)), (3, 4)),
        ("stack.zspy", stack, 1, ([2.0, 0.1, 0.2], ["s", "1/nm", "1/nm"]), dict(chunks=(3, 6, 4), compressor=numcodecs.Zstd(3)), (1, 7)),
        ("bits.zspy", stack.astype("f4"), 1, ([1.0, 1.0, 1.0], ["", "px", "<undefined>"]), dict(chunks=(2, 6, 4),
         compressor=numcodecs.Blosc("lz4", 5, numcodecs.Blosc.BITSHUFFLE)), (1, 7)),
        ("lz4.zspy", spectra, 2, ([0.5, 0.25, 10.0], ["nm", "nm", "eV"]), dict(chunks=(2, 2, 11), compressor=numcodecs.LZ4()), (3, 5)),
    ]
    for name, a, nav, (scales, units), more, shape in cases:
        file_writer(str(d / name), signal(a, nav, scales, units), show_progressbar=False, **more)
        s = file_reader(str(d / name))[0]
        same(s["data"], a, name)
        found = [(x["scale"], x["units"]) if x["units"] not in ("", "px", "<undefined>") else None for x in s["axes"]]
        data = np.asarray(s["data"])
        axes = found if a.ndim == 4 else [None] + found
        if nav == 2 and a.ndim == 3:
            axes, data = found[:2] + [None, found[2]], data[:, :, None, :]
        data = data.astype(data.dtype.newbyteorder("="))
        add(f"zspy/{name}", data, shape, "rosettasciio", axes, format="zarr", shape="unknown" if nav == 1 else "stored")
    # Plain arrays without anything of HyperSpy's: nested chunk names, no compression, chunks that were never written.
    z = zarr.open(str(d / "plain.zarr"), mode="w", shape=(4, 5, 6), chunks=(2, 5, 4), dtype="<u2", compressor=None, fill_value=7, dimension_separator="/")
    z[:2] = RNG.integers(0, 99, (2, 5, 6))
    add("zspy/plain.zarr", zarr.open(str(d / "plain.zarr"))[:], (1, 4), "zarr", format="zarr")
    g = zarr.open_group(str(d / "group.zarr"), mode="w")
    for name, codec in [("zlib", numcodecs.Zlib(3)), ("shuffled", numcodecs.Blosc("blosclz", 9, numcodecs.Blosc.SHUFFLE))]:
        g.create_dataset(name, data=scan, chunks=(1, 4, 6, 5), compressor=codec)
        add("zspy/group.zarr", g[name][:], (3, 4), "zarr", format="zarr", shape="stored", options={"dataset": name})


# ---------------------------------------------------------------- detectors and programs with HDF5
def eiger():
    import h5py, hdf5plugin
    from rsciio.arina import file_reader
    d = HERE / "eiger"; shutil.rmtree(d, ignore_errors=True); d.mkdir(parents=True)

    def master(name, parts, codec, more=None, **options):
        first = 0
        with h5py.File(d / f"{name}_master.h5", "w") as f:
            g = f.create_group("entry/data")
            f["entry"].attrs["NX_class"] = "NXentry"; g.attrs["NX_class"] = "NXdata"
            for i, a in enumerate(parts):
                file = f"{name}_data_{i + 1:06d}.h5"
                with h5py.File(d / file, "w") as p:
                    p.create_dataset("entry/data/data", data=a, chunks=options.get("chunks", (1,) + a.shape[1:]), **codec)
                g[f"data_{i + 1:06d}"] = h5py.ExternalLink(file, "entry/data/data")
            for key, value in (more or {}).items():
                f.create_dataset(f"entry/instrument/detector/detectorSpecific/{key}", data=value)

    bits = lambda **k: dict(hdf5plugin.Bitshuffle(nelems=0, cname="lz4", **k))
    for name, dtype, sizes, codec, nav, more in [
            ("series", "u2", [4, 4, 1], bits(), (3, 3), dict(nimages=np.uint32(3), ntrigger=np.uint32(3), pixel_mask=np.zeros((6, 9), "u4"))),
            ("wide", "u4", [4, 2], bits(), (1, 6), dict(nimages=np.uint32(6), ntrigger=np.uint32(1))),
            ("small", "u1", [9], dict(hdf5plugin.LZ4()), (1, 9), dict(nimages=np.uint32(1), ntrigger=np.uint32(9))),
            ("plain", "u2", [4], {}, (1, 4), None)]:
        parts = [RNG.integers(0, np.iinfo(dtype).max, (n,) + ((8, 8) if name == "small" else (6, 9))).astype(dtype) for n in sizes]
        if name == "plain":  # contiguous datasets in the other files
            codec, options = {}, dict(chunks=None)
        else:
            options = {}
        master(name, parts, codec, more, **options)
        want = np.concatenate(parts)
        with h5py.File(d / f"{name}_master.h5") as f:
            seen = np.concatenate([f["entry/data"][k][:] for k in sorted(f["entry/data"])])
        same(seen, want, name)
        if name == "small":  # that reader mistakes other than square frames
            same(file_reader(str(d / f"{name}_master.h5"))[0]["data"], want, name)
        add(f"eiger/{name}_master.h5", seen, nav, "h5py" + ", rosettasciio (arina)" * (name == "small"), format="eiger", shape="stored" if nav[0] > 1 else "unknown")


def velox():
    import h5py
    from rsciio.emd import file_reader
    d = HERE / "velox"; shutil.rmtree(d, ignore_errors=True); d.mkdir(parents=True)

    def write(name, images, unit, **options):
        with h5py.File(d / name, "w") as f:
            f["Version"] = np.array([b'{"format":"Velox","version":"1.10"}'])
            for i, a in enumerate(images):
                g = f.create_group(f"Data/Image/{i:032x}")
                g.create_dataset("Data", data=np.moveaxis(a, 0, -1), **options)
                json_ = json.dumps({"Core": {"MetadataDefinitionVersion": "7.9"}, "Instrument": {"InstrumentClass": "Titan"},
                                    "Detectors": {"Detector-0": {"DetectorName": "HAADF", "DetectorType": "ScanningDetector"}},
                                    "Scan": {"FrameTime": "0.25", "DwellTime": "1e-6"}, "Optics": {}, "Stage": {}, "Acquisition": {"AcquisitionStartDatetime": {"DateTime": "1700000000"}},
                                    "BinaryResult": {"AcquisitionUnit": "", "Detector": "HAADF", "DetectorIndex": "0", "PixelUnitX": unit, "PixelUnitY": unit,
                                                     "PixelSize": {"width": "2.5e-10" if unit == "m" else "1.5e8", "height": "5e-10" if unit == "m" else "3e8"}, "Offset": {"x": "0", "y": "0"}},
                                    "CustomProperties": {}})
                m = np.frombuffer(json_.encode().ljust(2000, b"\0"), np.uint8)
                g.create_dataset("Metadata", data=np.repeat(m[:, None], len(a), axis=1), **(dict(compression="gzip") if len(a) > 1 else {}))
            ops = f.create_group("Operations/StemInputOperation")
            for i in range(len(images)):
                ops[f"{i:032x}"] = np.array([json.dumps({"dataPath": f"/Data/Image/{i:032x}", "detector": "HAADF"}).encode()])
            f.create_group("Presentation/Displays/ImageDisplay")

    stack = RNG.integers(0, 60000, (5, 7, 9)).astype("u2")
    factor = {"m": 1e9, "1/m": 1e-9}
    for name, a, unit, more in [("stack.emd", stack, "m", dict(chunks=(7, 9, 1), compression="gzip")),
                                ("image.emd", stack[:1].astype("i4"), "m", dict(chunks=(7, 9, 1))),
                                ("together.emd", RNG.normal(0, 1, (5, 7, 9)).astype("f4"), "1/m", dict(chunks=(4, 9, 3), compression="gzip", shuffle=True)),
                                ("contiguous.emd", stack, "m", {})]:
        write(name, [a], unit, **more)
        seen = None
        try:
            s = file_reader(str(d / name))[0]
            seen = np.asarray(s["data"]); reader = "rosettasciio"
        except Exception as e:
            print(name, "rosettasciio:", repr(e)[:200])
            with h5py.File(d / name) as f:
                seen = np.moveaxis(f[f"Data/Image/{0:032x}/Data"][:], -1, 0); reader = "h5py"
        same(seen, a, name)
        h, w = (("5e-10", "2.5e-10") if unit == "m" else ("3e8", "1.5e8"))
        u = "nm" if unit == "m" else "1/nm"
        if reader == "rosettasciio":
            print(name, [(x["scale"], x["units"]) for x in s["axes"]])
        axes = [None, (0.25, "s") if len(a) > 1 else None, (float(h) * factor[unit], u), (float(w) * factor[unit], u)]
        add(f"velox/{name}", seen.reshape((-1,) + a.shape[1:]), (1, len(a)), reader, axes, format="hdf5", shape="unknown" if len(a) > 1 else "stored")


def nexus():
    import h5py
    from rsciio.nexus import file_reader, file_writer
    d = HERE / "nexus"; shutil.rmtree(d, ignore_errors=True); d.mkdir(parents=True)
    scan = RNG.integers(0, 999, (3, 4, 6, 5)).astype("u2")
    # As a beamline writes it: default leads to the signal, a sum and a mask lie beside it.
    with h5py.File(d / "default.nxs", "w") as f:
        f.attrs["default"] = "entry"
        e = f.create_group("entry"); e.attrs.update(NX_class="NXentry", default="merlin")
        g = e.create_group("merlin"); g.attrs.update(NX_class="NXdata", signal="data", axes=["y", "x", ".", "qx"])
        g["data"] = scan; g["sum"] = scan.astype("u4").sum(axis=(2, 3), keepdims=True); g["mask"] = np.zeros((2, 6, 5), "u1")
        for name, n, step, unit in [("y", 3, 2.0, "nm"), ("x", 4, 0.5, "nm"), ("qx", 5, 0.1, "1/nm")]:
            g[name] = np.arange(n) * step + 1; g[name].attrs["units"] = unit
        a = g["data"][:]
    add("nexus/default.nxs", a, (3, 4), "h5py", [(2.0, "nm"), (0.5, "nm"), None, (0.1, "1/nm")], format="hdf5", shape="stored")
    # Before 2014: the signal is marked on the dataset, axes as one text.
    stack = RNG.normal(0, 1, (5, 6, 4)).astype(">f4")
    with h5py.File(d / "old.nxs", "w") as f:
        g = f.create_group("entry1/instrument/detector"); g.attrs["NX_class"] = np.bytes_("NXdetector")
        g["count"] = stack; g["count"].attrs.update(signal=1, axes="time:y:x"); g["dark"] = stack * 0
        g["time"] = np.arange(5) * 0.2; g["time"].attrs["units"] = "s"; g["y"] = np.arange(6) * 1.0; g["x"] = np.arange(4) * 2.0
        for k in "yx":
            g[k].attrs["units"] = "um"
    add("nexus/old.nxs", stack.astype("f4"), (1, 5), "h5py", [None, (0.2, "s"), (1.0, "um"), (2.0, "um")], format="hdf5")
    axes = [dict(name=n, size=k, scale=s, offset=0.0, units=u, navigate=i < 2, index_in_array=i, _type="UniformDataAxis", is_binned=False)
            for i, (n, k, s, u) in enumerate([("y", 3, 0.5, "nm"), ("x", 4, 0.25, "nm"), ("ky", 6, 0.1, "1/nm"), ("kx", 5, 0.2, "1/nm")])]
    sig = dict(data=scan, axes=axes, metadata={"General": {"title": "rsciio"}}, original_metadata={}, attributes={"_lazy": False}, learning_results={},
               models=None, package_info={}, metadata_attributes={})
    file_writer(str(d / "rosettasciio.nxs"), sig)
    s = file_reader(str(d / "rosettasciio.nxs"))[0]
    same(s["data"], scan, "rosettasciio.nxs")
    add("nexus/rosettasciio.nxs", s["data"], (3, 4), "rosettasciio", [(x["scale"], x["units"]) for x in s["axes"]], format="hdf5", shape="stored")


def emd():
    import h5py
    from rsciio.emd import file_reader, file_writer
    from ncempy.io import emd as ncem
    d = HERE / "emd"; shutil.rmtree(d, ignore_errors=True); d.mkdir(parents=True)
    scan = RNG.integers(0, 999, (3, 4, 6, 5)).astype("u2")
    steps = [(0.5, "nm"), (0.25, "nm"), (0.1, "1/nm"), (0.2, "1/nm")]
    axes = [dict(name=n, size=k, scale=s, offset=0.0, units=u, navigate=i < 2, index_in_array=i, _type="UniformDataAxis", is_binned=False)
            for i, (n, k, (s, u)) in enumerate(zip(["y", "x", "ky", "kx"], scan.shape, steps))]
    sig = dict(data=scan, axes=axes, metadata={"General": {"title": "scan"}, "Signal": {}}, original_metadata={}, attributes={"_lazy": False}, learning_results={},
               models=None, package_info={}, metadata_attributes={})
    file_writer(str(d / "rosettasciio.emd"), sig)
    s = file_reader(str(d / "rosettasciio.emd"))[0]
    same(s["data"], scan, "rosettasciio.emd")
    print([(x["name"], x["scale"], x["units"]) for x in s["axes"]])
    # RosettaSciIO writes and reads this format with all dimensions turned around; the array as stored is what h5py and ncempy see.
    with ncem.fileEMD(str(d / "rosettasciio.emd"), readonly=True) as f:
        same(f.get_emdgroup(f.list_emds[0])[0], scan.T, "rosettasciio.emd")
    add("emd/rosettasciio.emd", scan.T, (5, 6), "ncempy", steps[::-1], format="hdf5", shape="stored")
    for name, a, dims in [("ncempy.emd", scan[0].astype("f4"), [("t", "[s]", 0.5), ("y", "[n_m]", 0.25), ("x", "[n_m]", 0.125)]),
                          ("ncempy4.emd", scan.astype("i2"), [("y", "[u_m]", 2.0), ("x", "[u_m]", 4.0), ("ky", "[1/n_m]", 0.5), ("kx", "[px]", 1.0)])]:
        with ncem.fileEMD(str(d / name), readonly=False) as f:
            f.put_emdgroup("stack", a, tuple((np.arange(n) * s, k, u) for n, (k, u, s) in zip(a.shape, dims)))
        with ncem.fileEMD(str(d / name), readonly=True) as f:
            seen, found = f.get_emdgroup(f.list_emds[0])
        same(seen, a, name)
        units = {"[s]": "s", "[n_m]": "nm", "[u_m]": "um", "[1/n_m]": "1/nm", "[px]": None}
        ax = [(s, units[u]) if units[u] else None for _, u, s in dims]
        add(f"emd/{name}", seen, (1, 4) if a.ndim == 3 else (3, 4), "ncempy", [None] + ax if a.ndim == 3 else ax, format="hdf5",
            shape="unknown" if a.ndim == 3 else "stored")


# ---------------------------------------------------------------- TIFF
def tiff():
    import tifffile
    d = HERE / "tiff"; shutil.rmtree(d, ignore_errors=True); d.mkdir(parents=True)
    scan = RNG.integers(0, 60000, (3, 4, 6, 5)).astype("u2")
    um = lambda y, x: [None, None, (y, "µm"), (x, "µm")]
    meta = {"PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}
    for name, a, nav, axes, shape, more in [
            ("scan.ome.tif", scan, (3, 4), [(0.125, "s"), (2.0, "nm"), (0.5, "µm"), (0.25, "µm")], "stored",
             dict(ome=True, metadata={"axes": "TZYX", "TimeIncrement": 0.125, "TimeIncrementUnit": "s", "PhysicalSizeZ": 2.0, "PhysicalSizeZUnit": "nm", **meta})),
            ("channels.ome.tif", scan[0].astype(">f4"), (1, 4), um(0.5, 0.25), "unknown",
             dict(ome=True, bigtiff=True, byteorder=">", metadata={"axes": "CYX", **meta})),
            ("deflate.ome.tif", scan.astype("u1"), (3, 4), um(0.5, 0.25), "stored",
             dict(ome=True, compression="zlib", metadata={"axes": "ZCYX", **meta})),
            ("hyperstack.tif", scan, (3, 4), None, "stored", dict(imagej=True, metadata={"axes": "TZYX"})),
            ("shaped.tif", scan.astype("i4"), (3, 4), None, "stored", {}),
            ("tiled.tif", RNG.normal(0, 1, (3, 20, 33)).astype("f4"), (1, 3), None, "unknown", dict(tile=(16, 16), compression="zlib", predictor=False))]:
        ome = more.pop("ome", None)
        with tifffile.TiffWriter(d / name, ome=ome, imagej=more.pop("imagej", False), bigtiff=more.pop("bigtiff", False), byteorder=more.pop("byteorder", None)) as t:
            t.write(a, photometric="minisblack", **more)
        seen = tifffile.imread(d / name)
        same(seen, a, name)
        add(f"tiff/{name}", seen.astype(seen.dtype.newbyteorder("=")), nav, "tifffile", axes, format="tiff", shape=shape)
    tiff_known(d)


def tiff_known(d):
    """Files of which tests/formats_tiff.rs knows the values, so that they need no place in the manifest: 6 frames of (7, 5)."""
    import tifffile
    def known(dtype, frames=6):
        i = np.arange(frames * 35)
        v = (i * 31 + i // 35 * 7) % 101
        return {"u": v, "i": v - 50, "f": v / 8 - 3}[np.dtype(dtype).kind].astype(dtype).reshape(frames, 7, 5)
    ways = {"plain": {}, "zlib": dict(compression="zlib"), "predictor": dict(compression="zlib", predictor=True), "tiled": dict(tile=(16, 16))}
    for dtype in ("u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8"):
        for way, more in ways.items():
            if way == "zlib" or dtype == "u2" or dtype == "f4" and way != "predictor":
                name = d / f"white-{dtype}-{way}.tif"
                big = dict(bigtiff=True, byteorder=">") if dtype in ("u4", "f8") else {}
                tifffile.imwrite(name, known(dtype), photometric="miniswhite", **big, **more)
                same(tifffile.imread(name), known(dtype), name.name)
    tifffile.imwrite(d / "truncated.tif", known("u2"), photometric="minisblack", truncate=True)
    tifffile.imwrite(d / "truncated-4d.tif", known("f4").reshape(2, 3, 7, 5), photometric="minisblack", truncate=True, bigtiff=True, byteorder=">")
    with tifffile.TiffWriter(d / "truncated-twice.tif") as t:
        for a in (known("u2")[:4], known("u2")[4:]):
            t.write(a, photometric="minisblack", truncate=True)
    for name, axes, more in [("interval-tz.tif", "TZYX", {}), ("interval-zc.tif", "ZCYX", {}), ("interval-tc.tif", "TCYX", {"tunit": "ms"})]:
        tifffile.imwrite(d / name, known("u2").reshape(2, 3, 7, 5), imagej=True, resolution=(100, 50),
                         metadata={"axes": axes, "finterval": 0.5, "unit": "1/\\u00C5", **more})


def dm():
    """The files of make_dm.py, in both orders of axes: RosettaSciIO and ncempy leave the axes as they are stored, emstream puts the scan first."""
    from rsciio.digitalmicrograph import file_reader
    from ncempy.io.dm import fileDM
    for name, order, nav in [("scan.dm4", (2, 3, 0, 1), (2, 3)), ("scan_swapped.dm4", (0, 1, 2, 3), (2, 3)),
                             ("spectra.dm3", (1, 2, 0), (2, 3)), ("spectra_swapped.dm3", (0, 1, 2), (2, 3))]:
        s = file_reader(str(HERE.parent / "dm" / name))[0]
        a = np.asarray(s["data"])
        with fileDM(str(HERE.parent / "dm" / name)) as f:
            same(f.getDataset(0)["data"], a, name)
        axes = [(float(s["axes"][i]["scale"]), s["axes"][i]["units"]) for i in order]
        a = np.ascontiguousarray(a.transpose(order))
        if a.ndim == 3:
            a, axes = a[:, :, None, :], axes[:2] + [None, axes[2]]
        add(f"../dm/{name}", a, nav, "rosettasciio, ncempy", axes, format=name[-3:], shape="stored")


PARTS = [dm, mib, empad, mrc, ser, tvips, zspy, eiger, velox, nexus, emd, tiff]

if __name__ == "__main__":
    wanted = sys.argv[1:] or [p.__name__ for p in PARTS]
    manifest = HERE / "formats.json"
    if manifest.exists():
        ENTRIES.update({e["array"]: e for e in json.loads(manifest.read_text())})
    for part in PARTS:
        if part.__name__ in wanted:
            for key in [k for k, e in ENTRIES.items() if e["file"].removeprefix("../").startswith(part.__name__ + "/")]:
                del ENTRIES[key]
            RNG = np.random.default_rng(7)
            part()
            print(part.__name__, "ok")
    manifest.write_text(json.dumps([ENTRIES[k] for k in sorted(ENTRIES)], indent=1, ensure_ascii=False) + "\n")
