"""The network of `defects`, beside Keras and onnxruntime on two cores: inference on frames of 512 x 512, and a step of training on patches of 256 x 256.

    python scripts/bench_network.py [EMSTREAM]          # default: target/release/emstream
    (pip install tensorflow-cpu tf_keras onnx onnxruntime numpy)

emstream's numbers: the kernels by `emstream bench --only network`, then the commands, by what more frames and more epochs take; the others from the same network
with random weights. CPU seconds (all threads) stand beside wall time, so that a busy machine can be told. Operations: two for each multiply-add of the convolutions as they are written (three times that for a step).
"""
import os
import resource
import subprocess
import sys
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = "2"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
import numpy as np

emstream = sys.argv[1] if len(sys.argv) > 1 else "target/release/emstream"
# Operations of the convolutions on a patch of 256 x 256.
GIGA = sum(2 * n * n * k * k * i * o for n, k, i, o in
           [(256, 3, 1, 20), (128, 3, 20, 40), (64, 3, 40, 40), (128, 3, 40, 20), (256, 3, 20, 2), (256, 1, 2, 2)]) / 1e9


def timed(work, repeats=5):
    work()
    wall, cpu = [], []
    for _ in range(repeats):
        a, b = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - a)
        cpu.append(time.process_time() - b)
    return min(wall), min(cpu)


def line(name, wall, cpu, items, unit, giga):
    print("%-44s %8.2f %s/s wall  %8.2f per CPU second  %7.1f GFLOP/s  %6.1f GFLOP per CPU second"
          % (name, items / wall, unit, items / cpu, giga * items / wall, giga * items / cpu), flush=True)


print("load %.1f %.1f %.1f" % os.getloadavg())


def seconds(*words):
    """Wall and CPU seconds of a run of emstream."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run([emstream, "-q", "--overwrite", "--backend", "cpu", "--threads", "2", *words], check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def extra(few, many, repeats=3):
    """What the longer of two runs takes more: the least wall and CPU seconds of each. (The least difference would be one of an unlucky short run.)"""
    both = np.array([[seconds(*few), seconds(*many)] for _ in range(repeats)]).min(0)
    return tuple(both[1] - both[0])


with tempfile.TemporaryDirectory() as here:
    at = lambda name: os.path.join(here, name)
    subprocess.run([emstream, "-q", "--threads", "2", "bench", "--quick", "--only", "network"], check=True)
    seconds("simulate", "ws2", "-o", at("movie.npy"), "--frames", "36")
    # Reading, connected regions, windows and writing included; --drift none, as the other two do not look for any.
    detect = ["defects", "detect", at("movie.npy"), "--range", "0,20000", "--drift", "none", "--show-frames", "0", "-o", at("found"), "--frames"]
    line("emstream defects detect, 32 more frames", *extra(detect + ["0..4"], detect + ["0..36"]), 32, "frames", 4 * GIGA)
    train = ["defects", "train", at("movie.npy"), "--labels", at("movie.npy.truth.h5"), "--frame", "0,1,2,3", "--range", "0,20000", "--validation", "0",
             "--patch", "256", "--step", "256", "-o", at("model")]
    for n in (8, 16):
        steps = train + ["--batch", str(n), "--epochs"]
        line("emstream defects train, batches of %d patches" % n, *extra(steps + ["1"], steps + ["17"]), 16 * 16, "patches", 3 * GIGA)

import tensorflow as tf
import tf_keras as k

tf.config.threading.set_intra_op_parallelism_threads(2)
tf.config.threading.set_inter_op_parallelism_threads(1)
x = inputs = k.layers.Input((None, None, 1))
for n in (20, 40):
    x = k.layers.Conv2D(n, 3, padding="same", activation="relu")(x)
    x = k.layers.MaxPooling2D(2)(x)
x = k.layers.Conv2D(40, 3, padding="same", activation="relu")(x)
x = k.layers.UpSampling2D(2)(x)
x = k.layers.Conv2D(20, 3, padding="same", activation="relu")(x)
x = k.layers.UpSampling2D(2)(x)
x = k.layers.Conv2D(2, 3, padding="same")(x)
x = k.layers.Conv2D(2, 1, padding="same")(x)
model = k.Model(inputs, k.layers.Activation("softmax")(x))
model.compile("adam", "categorical_crossentropy")
random = np.random.default_rng(0)
patches = random.random((64, 256, 256, 1), dtype=np.float32)
call = tf.function(lambda v: model(v, training=False))
line("Keras graph, 64 patches (16 frames)", *timed(lambda: call(tf.constant(patches)).numpy()), 16, "frames", 4 * GIGA)

try:
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    nodes, constants, now = [], [], "x"
    convolutions = iter([layer for layer in model.layers if isinstance(layer, k.layers.Conv2D)])
    for i, what in enumerate("c p c p c u c u c c".split()):
        then = "t%d" % i
        if what == "p":
            nodes.append(helper.make_node("MaxPool", [now], [then], kernel_shape=[2, 2], strides=[2, 2]))
        elif what == "u":
            constants.append(numpy_helper.from_array(np.array([1, 1, 2, 2], "f4"), "s%d" % i))
            nodes.append(helper.make_node("Resize", [now, "", "s%d" % i], [then], mode="nearest",
                                          coordinate_transformation_mode="asymmetric", nearest_mode="floor"))
        else:
            kernel, bias = next(convolutions).get_weights()
            constants += [numpy_helper.from_array(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1)), "w%d" % i), numpy_helper.from_array(bias, "b%d" % i)]
            side = kernel.shape[0] // 2
            nodes.append(helper.make_node("Conv", [now, "w%d" % i, "b%d" % i], [then], kernel_shape=list(kernel.shape[:2]), pads=[side] * 4))
            if i < 7:
                nodes.append(helper.make_node("Relu", [then], [then + "r"]))
                then += "r"
        now = then
    nodes.append(helper.make_node("Softmax", [now], ["y"], axis=1))
    graph = helper.make_graph(nodes, "network", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, "h", "w"])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2, "h", "w"])], constants)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    session = onnxruntime.InferenceSession(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString(), options, providers=["CPUExecutionProvider"])
    planes = np.ascontiguousarray(patches.transpose(0, 3, 1, 2))
    print("onnxruntime differs from Keras by at most %.1e" % np.abs(session.run(None, {"x": planes[:4]})[0].transpose(0, 2, 3, 1) - call(patches[:4]).numpy()).max())
    line("onnxruntime, 16 patches (4 frames)", *timed(lambda: session.run(None, {"x": planes[:16]})), 4, "frames", 4 * GIGA)
except ImportError:
    print("onnxruntime or onnx is missing")

labels = np.eye(2, dtype="f4")[(random.random((64, 256, 256)) < 0.04).astype(int)]
for n in (8, 16, 32):
    line("Keras train_on_batch, %d patches" % n, *timed(lambda: model.train_on_batch(patches[:n], labels[:n]), 3), n, "patches", 3 * GIGA)
