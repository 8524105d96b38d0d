"""Models between emstream and Keras, measured: a model that emstream has trained predicts the same in Keras, and Keras's own models in emstream.

    python scripts/check_keras.py [EMSTREAM]          # default: target/release/emstream
    (pip install tensorflow-cpu tf_keras keras h5py numpy)

Frames have the size that the models were made for, so that the whole frame is one image. Exits with 1 if a probability differs by 1e-4 or more.
"""
import os
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
import h5py
import keras
import numpy as np
import tf_keras

emstream = sys.argv[1] if len(sys.argv) > 1 else "target/release/emstream"
SIDE = 128
worst = 0.0


def run(*words):
    subprocess.run([emstream, "-q", "--backend", "cpu", *words], check=True)


def of_emstream(movie, model, folder):
    """Probabilities (frames, h, w, classes)."""
    run("defects", "detect", movie, "--model", model, "--range", "0,1", "--save-probability", "-o", folder, "--overwrite")
    with h5py.File(os.path.join(folder, "result.h5")) as f:
        return f["detections/probability"][:].transpose(0, 2, 3, 1)


def report(what, a, b):
    global worst
    difference = float(np.abs(a - b).max())
    worst = max(worst, difference)
    print("%-64s %.1e (probabilities from %.3f to %.3f)" % (what, difference, b.min(), b.max()), flush=True)


def published(k, classes, seed):
    """The published architecture, built by a Keras."""
    k.utils.set_random_seed(seed)
    layers = k.layers
    x = inputs = layers.Input((SIDE, SIDE, 1))
    for n in (20, 40):
        x = layers.Conv2D(n, 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D(2, padding="same")(x)
    x = layers.Conv2D(40, 3, padding="same", activation="relu")(x)
    x = layers.UpSampling2D(2)(x)
    x = layers.Conv2D(20, 3, padding="same", activation="relu")(x)
    x = layers.UpSampling2D(2)(x)
    x = layers.Conv2D(classes, 3, padding="same")(x)
    x = layers.Conv2D(classes, 1, padding="same")(x)
    model = k.Model(inputs, layers.Activation("softmax")(x))
    # Biases and larger weights, so that probabilities are not all near one half.
    random = np.random.default_rng(seed)
    model.set_weights([(2.0 * w + 0.1 * random.normal(size=w.shape)).astype("f4") for w in model.get_weights()])
    return model


with tempfile.TemporaryDirectory() as here:
    at = lambda name: os.path.join(here, name)
    print("tf_keras %s, keras %s" % (tf_keras.__version__, keras.__version__))
    run("simulate", "ws2", "-o", at("movie.npy"), "--frames", "4", "--sig-shape", "%d,%d" % (SIDE, SIDE))
    frames = np.load(at("movie.npy")).astype("f4").reshape(-1, SIDE, SIDE)
    frames = (frames - frames.min()) / (frames.max() - frames.min())
    np.save(at("scaled.npy"), frames[None])
    images = frames[..., None]

    # Trained here, opened there.
    run("defects", "train", at("scaled.npy"), "--labels", at("movie.npy.truth.h5"), "--frame", "0,1", "--patch", str(SIDE), "--step", str(SIDE), "--batch", "1",
        "--epochs", "60", "--range", "0,1", "-o", at("model"))
    ours = of_emstream(at("scaled.npy"), at("model/model.h5"), at("ours"))
    for k in (tf_keras, keras):
        model = k.models.load_model(at("model/model.h5"), compile=False)
        report("trained by emstream, opened by %s" % k.__name__, ours, model.predict(images, verbose=0))

    # Made there, opened here.
    for k, classes, name in ((tf_keras, 2, "full.h5"), (tf_keras, 3, "weights.h5"), (keras, 2, "full.h5"), (keras, 4, "archive.keras")):
        model = published(k, classes, classes)
        path = at(k.__name__ + "_" + name)
        if name == "weights.h5":
            model.save_weights(path)
        else:
            model.save(path)
        report("made by %s, %s, opened by emstream" % (k.__name__, name), of_emstream(at("scaled.npy"), path, at("theirs")), model.predict(images, verbose=0))

print("largest difference %.1e" % worst)
sys.exit(worst >= 1e-4)
