"""Well-known networks, written down from the tables of the papers and of Caffe's documentation.

Each function returns a NetParameter whose data are DummyData or Input layers of a small batch.
"""

from pydeepexpr import caffe
from pydeepexpr.caffe import layers as L
from pydeepexpr.caffe import params as P
from pydeepexpr.caffe.coord_map import crop
from pydeepexpr.caffe.proto import caffe_pb2 as pb

XAVIER = {"type": "xavier"}
RATES = [{"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 2, "decay_mult": 0}]


def gaussian(std):
    return {"type": "gaussian", "std": std}


def dummy(*shapes):
    """Return a blob of random numbers, and blobs of zeros (labels)."""
    return L.DummyData(
        shape=[{"dim": list(shape)} for shape in shapes],
        data_filler=[gaussian(1), *[{"value": 0}] * (len(shapes) - 1)],
        ntop=len(shapes),
    )


def max_pool(bottom, size=3, stride=2, **more):
    return L.Pooling(bottom, pool=P.Pooling.MAX, kernel_size=size, stride=stride, **more)


def average_pool(bottom, size=3, stride=2):
    return L.Pooling(bottom, pool=P.Pooling.AVE, kernel_size=size, stride=stride)


def lenet(batch):
    """LeCun et al. 1998 as Caffe's MNIST example has it: ReLU, and no activation between the convolutions."""
    n = caffe.NetSpec()
    n.data, n.label = dummy((batch, 1, 28, 28), (batch,))
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=XAVIER, param=RATES)
    n.pool1 = max_pool(n.conv1, 2)
    n.conv2 = L.Convolution(n.pool1, kernel_size=5, num_output=50, weight_filler=XAVIER, param=RATES)
    n.pool2 = max_pool(n.conv2, 2)
    n.ip1 = L.InnerProduct(n.pool2, num_output=500, weight_filler=XAVIER, param=RATES)
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n.ip2 = L.InnerProduct(n.ip1, num_output=10, weight_filler=XAVIER, param=RATES)
    n.accuracy = L.Accuracy(n.ip2, n.label)
    n.loss = L.SoftmaxWithLoss(n.ip2, n.label)
    return n.to_proto()


def cifar10(batch, full):
    """Krizhevsky's cuda-convnet layers for CIFAR-10: `quick`, or `full` with response normalisation."""
    n = caffe.NetSpec()
    n.data, n.label = dummy((batch, 3, 32, 32), (batch,))

    def conv(bottom, outputs, std):
        return L.Convolution(
            bottom, num_output=outputs, pad=2, kernel_size=5, stride=1, weight_filler=gaussian(std), param=RATES
        )

    def norm(bottom):
        return L.LRN(bottom, local_size=3, alpha=5e-5, beta=0.75, norm_region=P.LRN.WITHIN_CHANNEL) if full else bottom

    n.conv1 = conv(n.data, 32, 1e-4)
    n.pool1 = max_pool(n.conv1)
    n.relu1 = L.ReLU(n.pool1, in_place=True)
    n.conv2 = conv(norm(n.relu1), 32, 0.01)
    n.relu2 = L.ReLU(n.conv2, in_place=True)
    n.pool2 = average_pool(n.conv2)
    n.conv3 = conv(norm(n.pool2), 64, 0.01)
    n.relu3 = L.ReLU(n.conv3, in_place=True)
    n.pool3 = average_pool(n.conv3)
    top = n.pool3
    if not full:
        n.ip1 = L.InnerProduct(n.pool3, num_output=64, weight_filler=gaussian(0.1), param=RATES)
        top = n.ip1
    n.scores = L.InnerProduct(top, num_output=10, weight_filler=gaussian(0.1), param=RATES)
    n.loss = L.SoftmaxWithLoss(n.scores, n.label)
    return n.to_proto()


def _five_convolutions(n, data, pool_first):
    """Krizhevsky et al. 2012 on two GPUs, up to pool5; CaffeNet pools before it normalises."""

    def conv(bottom, outputs, size, std=0.01, bias=0.1, **more):
        top = L.Convolution(
            bottom,
            num_output=outputs,
            kernel_size=size,
            weight_filler=gaussian(std),
            bias_filler={"value": bias},
            param=RATES,
            **more,
        )
        return top, L.ReLU(top, in_place=True)

    def norm_and_pool(bottom, k):
        if pool_first:
            n[f"pool{k}"] = max_pool(bottom)
            n[f"norm{k}"] = L.LRN(n[f"pool{k}"], local_size=5, alpha=1e-4, beta=0.75)
            return n[f"norm{k}"]
        n[f"norm{k}"] = L.LRN(bottom, local_size=5, alpha=1e-4, beta=0.75)
        n[f"pool{k}"] = max_pool(n[f"norm{k}"])
        return n[f"pool{k}"]

    n.conv1, n.relu1 = conv(data, 96, 11, stride=4, bias=0)
    n.conv2, n.relu2 = conv(norm_and_pool(n.relu1, 1), 256, 5, pad=2, group=2)
    n.conv3, n.relu3 = conv(norm_and_pool(n.relu2, 2), 384, 3, pad=1, bias=0)
    n.conv4, n.relu4 = conv(n.relu3, 384, 3, pad=1, group=2)
    n.conv5, n.relu5 = conv(n.relu4, 256, 3, pad=1, group=2)
    n.pool5 = max_pool(n.relu5)


def _two_inner_products(n, width):
    bottom = n.pool5
    for k in (6, 7):
        n[f"fc{k}"] = L.InnerProduct(
            bottom, num_output=width, weight_filler=gaussian(0.005), bias_filler={"value": 0.1}, param=RATES
        )
        n[f"relu{k}"] = L.ReLU(n[f"fc{k}"], in_place=True)
        n[f"drop{k}"] = L.Dropout(n[f"relu{k}"], dropout_ratio=0.5, in_place=True)
        bottom = n[f"drop{k}"]


def alexnet(batch, pool_first=False, width=4096):
    """AlexNet, or CaffeNet with `pool_first`."""
    n = caffe.NetSpec()
    n.data, n.label = dummy((batch, 3, 227, 227), (batch,))
    _five_convolutions(n, n.data, pool_first)
    _two_inner_products(n, width)
    n.fc8 = L.InnerProduct(n.drop7, num_output=1000, weight_filler=gaussian(0.01), param=RATES)
    n.loss = L.SoftmaxWithLoss(n.fc8, n.label)
    return n.to_proto()


def rcnn(batch, width=4096):
    """Girshick et al. 2014: CaffeNet with a linear scorer for the 200 classes of ILSVRC13; inputs in the old fields."""
    n = caffe.NetSpec()
    n.data = L.Input(shape={"dim": [batch, 3, 227, 227]})
    _five_convolutions(n, n.data, pool_first=True)
    _two_inner_products(n, width)
    n["fc-rcnn"] = L.InnerProduct(n.drop7, num_output=200, weight_filler=gaussian(0.01))
    layers = n.to_proto().layer[1:]
    return pb.NetParameter(layer=layers, input=["data"], input_dim=[batch, 3, 227, 227], force_backward=True)


def googlenet(batch, classes=1000):
    """Szegedy et al. 2014, table 1: nine inception modules and two auxiliary classifiers."""
    n = caffe.NetSpec()
    n.data, n.label = dummy((batch, 3, 224, 224), (batch,))

    def conv(name, bottom, outputs, size=1, **more):
        n[name] = L.Convolution(
            bottom,
            num_output=outputs,
            kernel_size=size,
            weight_filler=XAVIER,
            bias_filler={"value": 0.2},
            param=RATES,
            **more,
        )
        n[f"relu_{name}"] = L.ReLU(n[name], in_place=True)
        return n[f"relu_{name}"]

    def inception(name, bottom, ones, reduce3, threes, reduce5, fives, pooled):
        branches = [
            conv(f"{name}/1x1", bottom, ones),
            conv(f"{name}/3x3", conv(f"{name}/3x3_reduce", bottom, reduce3), threes, 3, pad=1),
            conv(f"{name}/5x5", conv(f"{name}/5x5_reduce", bottom, reduce5), fives, 5, pad=2),
            conv(f"{name}/pool_proj", max_pool(bottom, 3, 1, pad=1), pooled),
        ]
        n[f"{name}/output"] = L.Concat(*branches)
        return n[f"{name}/output"]

    def auxiliary(number, bottom):
        reduced = conv(f"loss{number}/conv", average_pool(bottom, 5, 3), 128)
        hidden = L.InnerProduct(reduced, num_output=1024, weight_filler=XAVIER, param=RATES)
        dropped = L.Dropout(L.ReLU(hidden, in_place=True), dropout_ratio=0.7, in_place=True)
        n[f"loss{number}/classifier"] = L.InnerProduct(dropped, num_output=classes, weight_filler=XAVIER, param=RATES)
        n[f"loss{number}/loss"] = L.SoftmaxWithLoss(n[f"loss{number}/classifier"], n.label, loss_weight=0.3)

    top = max_pool(conv("conv1", n.data, 64, 7, stride=2, pad=3))
    top = conv("conv2/3x3_reduce", L.LRN(top, local_size=5, alpha=1e-4, beta=0.75), 64)
    top = conv("conv2/3x3", top, 192, 3, pad=1)
    top = max_pool(L.LRN(top, local_size=5, alpha=1e-4, beta=0.75))
    top = inception("3a", top, 64, 96, 128, 16, 32, 32)
    top = max_pool(inception("3b", top, 128, 128, 192, 32, 96, 64))
    top = inception("4a", top, 192, 96, 208, 16, 48, 64)
    auxiliary(1, top)
    top = inception("4b", top, 160, 112, 224, 24, 64, 64)
    top = inception("4c", top, 128, 128, 256, 24, 64, 64)
    top = inception("4d", top, 112, 144, 288, 32, 64, 64)
    auxiliary(2, top)
    top = max_pool(inception("4e", top, 256, 160, 320, 32, 128, 128))
    top = inception("5a", top, 256, 160, 320, 32, 128, 128)
    top = inception("5b", top, 384, 192, 384, 48, 128, 128)
    n.pool5 = average_pool(top, 7, 1)
    dropped = L.Dropout(n.pool5, dropout_ratio=0.4, in_place=True)
    n["loss3/classifier"] = L.InnerProduct(dropped, num_output=classes, weight_filler=XAVIER, param=RATES)
    n["loss3/loss"] = L.SoftmaxWithLoss(n["loss3/classifier"], n.label, loss_weight=1)
    n.top5 = L.Accuracy(n["loss3/classifier"], n.label, top_k=5)
    return n.to_proto()


def siamese(batch):
    """Chopra et al. 2005 as Caffe's MNIST example has it: one LeNet for both of a pair, a contrastive loss."""
    n = caffe.NetSpec()
    n.pair, n.sim = dummy((batch, 2, 28, 28), (batch,))
    n.data, n.data_p = L.Slice(n.pair, slice_param={"slice_dim": 1, "slice_point": [1]}, ntop=2)

    def shared(name):
        return [{"name": f"{name}_w", "lr_mult": 1}, {"name": f"{name}_b", "lr_mult": 2}]

    def tower(data, suffix):
        def put(name, top):
            n[name + suffix] = top
            return top

        top = data
        for name, outputs in (("conv1", 20), ("conv2", 50)):
            top = L.Convolution(top, num_output=outputs, kernel_size=5, weight_filler=XAVIER, param=shared(name))
            top = max_pool(put(name, top), 2)
        for name, outputs in (("ip1", 500), ("ip2", 10)):
            top = put(name, L.InnerProduct(top, num_output=outputs, weight_filler=XAVIER, param=shared(name)))
            if name == "ip1":
                top = L.ReLU(top, in_place=True)
        return put("feat", L.InnerProduct(top, num_output=2, weight_filler=XAVIER, param=shared("feat")))

    n.loss = L.ContrastiveLoss(tower(n.data, ""), tower(n.data_p, "_p"), n.sim, margin=1)
    return n.to_proto()


def autoencoder(batch):
    """Hinton & Salakhutdinov 2006 on MNIST: 784-1000-500-250-30 and back, sparse fillers, two losses."""
    n = caffe.NetSpec()
    n.data = L.DummyData(shape={"dim": [batch, 1, 28, 28]}, data_filler={"type": "uniform"})
    n.flatdata = L.Flatten(n.data)

    def ip(bottom, outputs):
        return L.InnerProduct(
            bottom,
            num_output=outputs,
            weight_filler={"type": "gaussian", "std": 1, "sparse": 15},
            bias_filler={"value": 0},
            param=[{"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 1, "decay_mult": 0}],
        )

    top = n.data
    for k, outputs in enumerate((1000, 500, 250), 1):
        n[f"encode{k}"] = ip(top, outputs)
        top = n[f"encode{k}neuron"] = L.Sigmoid(n[f"encode{k}"])
    top = n.encode4 = ip(top, 30)
    for k, outputs in zip((4, 3, 2), (250, 500, 1000), strict=True):
        n[f"decode{k}"] = ip(top, outputs)
        top = n[f"decode{k}neuron"] = L.Sigmoid(n[f"decode{k}"])
    n.decode1 = ip(top, 784)
    n.cross_entropy_loss = L.SigmoidCrossEntropyLoss(n.decode1, n.flatdata, loss_weight=1)
    n.decode1neuron = L.Sigmoid(n.decode1)
    n.l2_error = L.EuclideanLoss(n.decode1neuron, n.flatdata, loss_weight=0)
    return n.to_proto()


def captioner(batch, steps=4, words=30, width=16):
    """Donahue et al. 2015, LRCN-2f: an embedded sentence, one LSTM for words, one that also sees the image."""
    n = caffe.NetSpec()
    n.image = dummy((batch, 3, 32, 32))
    n.input_sentence = L.DummyData(shape={"dim": [steps, batch]}, data_filler={"type": "constant", "value": 3})
    n.cont_sentence = L.DummyData(shape={"dim": [steps, batch]}, data_filler={"type": "constant", "value": 1})
    n.target_sentence = L.DummyData(shape={"dim": [steps, batch]}, data_filler={"type": "constant", "value": 5})
    n.conv = L.Convolution(n.image, num_output=4, kernel_size=5, stride=3, weight_filler=XAVIER)
    n.image_features = L.InnerProduct(n.conv, num_output=9, weight_filler=XAVIER)
    uniform = {"type": "uniform", "min": -0.08, "max": 0.08}
    recurrent = {"num_output": width, "weight_filler": uniform, "bias_filler": {"value": 0}}
    n.embedded = L.Embed(
        n.input_sentence, input_dim=words, num_output=width, bias_term=False, weight_filler=uniform, param=RATES[:1]
    )
    n.lstm1 = L.LSTM(n.embedded, n.cont_sentence, recurrent_param=recurrent)
    n.lstm2 = L.LSTM(n.lstm1, n.cont_sentence, n.image_features, recurrent_param=recurrent)
    n.predict = L.InnerProduct(n.lstm2, num_output=words, axis=2, weight_filler=uniform, param=RATES)
    n.loss = L.SoftmaxWithLoss(
        n.predict, n.target_sentence, softmax_param={"axis": 2}, loss_param={"ignore_label": -1}, loss_weight=20
    )
    n.accuracy = L.Accuracy(n.predict, n.target_sentence, axis=2, ignore_label=-1)
    return n.to_proto()


def fully_convolutional(batch):
    """Long et al. 2015 in small: scores of two strides, upsampled bilinearly, cropped onto the image and added."""
    n = caffe.NetSpec()
    n.data, n.label = dummy((batch, 3, 33, 41), (batch, 1, 33, 41))

    def up(bottom, factor):
        return L.Deconvolution(
            bottom,
            convolution_param={
                "num_output": 5,
                "kernel_size": 2 * factor,
                "stride": factor,
                "group": 5,
                "bias_term": False,
                "weight_filler": {"type": "bilinear"},
            },
            param={"lr_mult": 0},
        )

    def score(bottom):
        return L.Convolution(bottom, num_output=5, kernel_size=1, weight_filler=XAVIER, param=RATES)

    n.conv1 = L.Convolution(n.data, num_output=8, kernel_size=3, pad=20, weight_filler=XAVIER, param=RATES)
    n.pool1 = max_pool(L.ReLU(n.conv1, in_place=True), 2)
    n.conv2 = L.Convolution(n.pool1, num_output=8, kernel_size=7, weight_filler=XAVIER, param=RATES)
    n.pool2 = max_pool(L.ReLU(n.conv2, in_place=True), 2)
    n.upscore2 = up(score(n.pool2), 2)
    n.score_pool1 = score(n.pool1)
    n.score_pool1c = crop(n.score_pool1, n.upscore2)
    n.fuse = L.Eltwise(n.upscore2, n.score_pool1c, operation=P.Eltwise.SUM)
    n.upscore = up(n.fuse, 2)
    n.score = crop(n.upscore, n.data)
    n.loss = L.SoftmaxWithLoss(n.score, n.label, loss_param={"normalize": False, "ignore_label": 255})
    return n.to_proto()
