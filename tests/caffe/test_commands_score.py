"""`test` and `time`: what they log, held against the net that they run."""

import re

import cv2
import numpy as np
import pytest
import torch

from pydeepexpr import caffe
from pydeepexpr.caffe.__main__ import main
from pydeepexpr.caffe.execution import Step
from pydeepexpr.errors import UserError
from tests.caffe.solver_texts import HEAD, PLAIN, data, fc

PROB = 'layer { name: "prob" type: "Softmax" bottom: "two" top: "prob" include { phase: TEST stage: "deploy" } }\n'
LEVEL = 'layer { name: "deep" type: "Reduction" bottom: "one" top: "deep" include { min_level: 2 } }\n'


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def model(tmp_path, image_lmdb):
    path = tmp_path / "net.prototxt"
    path.write_text(data(image_lmdb) + PLAIN + PROB + LEVEL + HEAD)
    return str(path)


@pytest.fixture
def weights(tmp_path, model):
    caffe.set_random_seed(1)
    net = caffe.Net(model, caffe.TRAIN)
    path = str(tmp_path / "net.caffemodel")
    net.save(path)
    net.close()
    return path


@pytest.fixture
def said(capsys):
    """A function that returns the messages in the log since it was last called, without glog's heads."""
    return lambda: [line.split("] ", 1)[-1] for line in capsys.readouterr().err.splitlines()]


def outputs_of(model, weights, batches, **options):
    net = caffe.Net(model, caffe.TEST, weights=weights, **options)
    rows = [{name: values.copy() for name, values in net.forward().items()} for _ in range(batches)]
    net.close()
    return rows


def test_scores_and_their_means(model, weights, said):
    main(["test", "-model", model, "-weights", weights, "-iterations", "3"])
    lines, rows = said(), outputs_of(model, weights, 3)
    start = lines.index("Running for 3 iterations.")
    wanted = [f"Batch {i}, {name} = {row[name]:g}" for i, row in enumerate(rows) for name in ("acc", "loss")]
    acc, loss = (np.mean([row[name] for row in rows], dtype=np.float64) for name in ("acc", "loss"))
    assert "Use CPU." in lines
    assert lines[start + 1 : -3] == wanted and len({row["loss"].item() for row in rows}) == 3
    assert lines[-3:] == [f"Loss: {loss:g}", f"acc = {acc:g}", f"loss = {loss:g} (* 1 = {loss:g} loss)"]


def test_50_batches_unless_told(model, weights, said):
    main(["test", "-model", model, "-weights", weights])
    assert sum(line.startswith("Batch ") for line in said()) == 100


def test_every_value_of_an_output_has_its_mean(model, weights, said):
    main(["test", "--model", model, "--weights", weights, "--iterations=2", "--stage", "deploy", "--level=2"])
    lines, rows = said(), outputs_of(model, weights, 2, stages=["deploy"], level=2)
    means = {name: np.mean([row[name] for row in rows], 0, np.float64) for name in rows[0]}
    got = [float(line.split(" = ")[1]) for line in lines if line.startswith("prob = ")]
    np.testing.assert_allclose(got, means["prob"].ravel(), rtol=1e-5)
    assert len(got) == 4 * 13
    names = [line.split(" = ")[0] for line in lines[lines.index(next(line for line in lines if "Loss" in line)) + 1 :]]
    assert names == ["acc", "deep", "loss", *["prob"] * 52]  # std::set's order


def test_loss_weights_count(tmp_path, image_lmdb, weights, said):
    path = tmp_path / "weighted.prototxt"
    path.write_text(data(image_lmdb) + PLAIN + HEAD.replace('top: "loss"', 'top: "loss" loss_weight: 0.5'))
    main(["test", "-model", str(path), "-weights", weights, "-iterations", "1"])
    lines = said()
    loss = outputs_of(str(path), weights, 1)[0]["loss"].item()
    assert lines[-3] == f"Loss: {0.5 * loss:g}" and lines[-1] == f"loss = {loss:g} (* 0.5 = {0.5 * loss:g} loss)"


def test_several_weights(model, weights, said, tmp_path):
    other = str(tmp_path / "other.caffemodel")
    net = caffe.Net(model, caffe.TEST, weights=weights)
    net.params["two"][0].data[...] = 0
    net.save(other)
    net.close()
    main(["test", "-model", model, "-weights", f"{weights},{other}", "-iterations", "1"])
    assert said()[-1].startswith(f"loss = {np.log(13):g} ")


def test_outputs_that_change_their_number_have_no_means(tmp_path, weights, images):
    names = []
    for i, image in enumerate((images[0], images[1][:8])):
        names.append(f"{tmp_path}/{i}.png 0")
        cv2.imwrite(f"{tmp_path}/{i}.png", image)
    (tmp_path / "list.txt").write_text("\n".join(names))
    path = tmp_path / "images.prototxt"
    path.write_text(
        f'layer {{ name: "data" type: "ImageData" top: "data" top: "label" image_data_param {{ batch_size: 1 '
        f'source: "{tmp_path}/list.txt" }} }}'
    )
    with pytest.raises(UserError, match="batch 1 has 241 outputs, those before it 361: no means"):
        main(["test", "-model", str(path), "-weights", weights, "-iterations", "2"])


@pytest.mark.parametrize(
    ("flags", "error"),
    [
        ("-model {model} -weights none.caffemodel", "cannot read the model none.caffemodel"),
        ("-model {model} -weights {model}", "truncated or no NetParameter"),
        ("-model {weights} -weights {weights}", "is no text file|does not parse"),
        ("-model {model} -weights {weights} -gpu 0", "GPU 0 is asked for, but PyTorch sees no CUDA device"),
    ],
)
def test_what_cannot_be_scored(model, weights, flags, error):
    with pytest.raises(UserError, match=error):
        main(["test", *flags.format(model=model, weights=weights).split()])


# time


@pytest.mark.parametrize(("phase", "layers"), [("", "data one relu two loss"), ("TEST", "data one relu two loss acc")])
def test_the_time_of_each_layer(model, said, phase, layers):
    main(["time", "-model", model, "-iterations", "3", *(["-phase", phase] if phase else [])])
    lines = said()
    start = lines.index("Average time per layer: ")
    assert lines[:2] == ["Use CPU.", "Performing Forward"] and "Performing Backward" in lines
    assert re.fullmatch(r"Initial loss: \d\.\d+", lines[2])
    assert lines[4:6] == ["*** Benchmark begins ***", "Testing for 3 iterations."]
    for i, line in enumerate(lines[6:start], 1):
        assert re.fullmatch(rf"Iteration: {i} forward-backward time: \S+ ms\.", line)
    assert start == 9 and lines[-1] == "*** Benchmark ends ***"
    rows = [re.fullmatch(r" *(\S+)\t(forward|backward): (\S+) ms\.", line) for line in lines[start + 1 : -5]]
    names = list(dict.fromkeys(row[1] for row in rows))
    assert [name for name in names if "split" not in name] == layers.split()
    assert len(rows) == 2 * len(names) and [row[2] for row in rows] == ["forward", "backward"] * len(names)
    forward, backward, both, total = (float(line.split()[-2]) for line in lines[-5:-1])
    assert [re.sub(r" \S+ ms\.", "", line) for line in lines[-5:-1]] == [
        "Average Forward pass:",
        "Average Backward pass:",
        "Average Forward-Backward:",
        "Total Time:",
    ]
    parts = {kind: sum(float(row[3]) for row in rows if row[2] == kind) for kind in ("forward", "backward")}
    assert 0 < parts["forward"] <= forward and 0 < parts["backward"] <= backward
    assert forward + backward <= both * 1.001 and both * 3 == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_a_network_without_a_loss_has_its_backward_measured(tmp_path, said, monkeypatch, phase):
    # `caffe time` calls every layer's Backward; a deploy net's does not count as nothing
    path = tmp_path / "net.prototxt"
    prob = 'layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }'
    path.write_text('input: "data" input_shape { dim: 2 dim: 3 }\n' + fc("ip", "data", 3) + prob)
    done = []
    backward = Step.backward
    monkeypatch.setattr(Step, "backward", lambda step, keep=False: done.append(step.layer.name) or backward(step, keep))
    main(["time", "-model", str(path), "-iterations", "2", "-phase", phase])
    assert done == ["prob", "ip"] * 3  # once before it counts
    assert sum("Upgraded" in line for line in said()) == 1


def test_layers_of_one_name_and_names_of_any_length(tmp_path, said):
    path = tmp_path / "net.prototxt"
    twice = fc("ip", "data", 3).replace('top: "ip"', 'top: "{}"')
    layers = [twice.replace("{}", top) for top in "ab"]
    path.write_text('input: "data" input_shape { dim: 2 dim: 3 }\n' + "".join(layers))
    main(["time", "-model", str(path), "-iterations", "1"])
    assert sum(line.startswith("        ip\tforward: ") for line in said()) == 2
