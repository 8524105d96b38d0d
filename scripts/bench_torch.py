"""The same statistics and full-frame FFT correlation with PyTorch on the same GPU: bench_torch.py [--gib N] [--json FILE] [--device cpu].

Frames lie on the device before the clock runs, as in the resident passes of examples/gpu_roof.rs; times are medians of five.
"""

import argparse
import json
import statistics
import time

import torch


def timed(work, repeats=5):
    """Median seconds of `work`, after one run to warm up."""
    seconds = []
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    for n in range(repeats + 1):
        wait()
        begun = time.perf_counter()
        work()
        wait()
        if n > 0:
            seconds.append(time.perf_counter() - begun)
    return statistics.median(seconds)


def moments(frames, batch):
    """Sum and sum of squares of every pixel: float64 sums of float32 batches, the usual way."""
    total = torch.zeros(frames.shape[1:], dtype=torch.float64, device=frames.device)
    squares = torch.zeros_like(total)
    for part in frames.split(batch):
        values = part.to(torch.float32)
        total += values.sum(dim=0, dtype=torch.float64)
        squares += (values * values).sum(dim=0, dtype=torch.float64)
    return total, squares


def correlate(frames, template, batch):
    """Highest correlation of ln(f - min + 1) with a template, one number a frame."""
    spectrum = torch.conj(torch.fft.rfft2(template))
    found = []
    for part in frames.split(batch):
        values = part.to(torch.float32)
        logs = torch.log(values - values.amin(dim=(1, 2), keepdim=True) + 1)
        maps = torch.fft.irfft2(torch.fft.rfft2(logs) * spectrum, s=template.shape)
        found.append(maps.flatten(1).max(dim=1).values)
    return torch.cat(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=4)
    parser.add_argument("--json")
    parser.add_argument("--device", default="cuda", help="cpu tries the script where there is no GPU")
    args = parser.parse_args()
    device = torch.device(args.device)
    rows = []
    # PyTorch sums uint16 nowhere yet; int16 holds the same counts and bytes here.
    for (h, w), kind in (((144, 144), torch.uint8), ((256, 256), torch.int16)):
        count = max(int(args.gib * 2**30) // (h * w * kind.itemsize), 256)
        frames = torch.randint(0, 15, (count, h, w), dtype=kind, device=device)
        y, x = torch.meshgrid(torch.arange(h, device=device), torch.arange(w, device=device), indexing="ij")
        radius = torch.hypot((y - h // 2).float(), (x - w // 2).float())
        template = torch.roll((11.5 - radius).clamp(0, 1), (-(h // 2), -(w // 2)), (0, 1))
        size = frames.numel() * frames.element_size()
        for name, work in (("statistics", lambda: moments(frames, 2048)), ("full", lambda: correlate(frames, template, 1024))):
            seconds = timed(work)
            rows.append(dict(name=name, frame=[h, w], pixel=str(kind), frames=count, seconds=seconds, frames_per_s=count / seconds))
            print(f"PyTorch {h}x{w} {kind} {name:<12} {count / seconds:12.0f} frames/s {size / seconds / 1e9:8.1f} GB/s")
        del frames
        if device.type == "cuda":
            torch.cuda.empty_cache()
    if args.json:
        with open(args.json, "w") as file:
            json.dump(dict(torch=torch.__version__, device=torch.cuda.get_device_name() if device.type == "cuda" else "CPU", rows=rows), file, indent=1)


if __name__ == "__main__":
    main()
