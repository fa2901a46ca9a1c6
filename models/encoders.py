"""ResNet encoders: five feature maps of one image or of several stacked along the channels."""

from __future__ import annotations

from torch import Tensor, nn

from errors import UserError
from storage.catalogue import place
from storage.published import obtain
from storage.weights import read_state_dict

from .without_dynamo import without_dynamo

with without_dynamo():
    import torchvision

WIDTHS = {
    layers: (64, 64, 128, 256, 512) if layers < 50 else (64, 256, 512, 1024, 2048) for layers in (18, 34, 50, 101, 152)
}
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of RGB in [0, 1]
TITLES = {"resnext101_32x8d": "ResNeXt-101 32x8d", "mobilenet_v2": "MobileNetV2"}


def imagenet_network(name: str, pretrained: bool, newest: bool = False) -> nn.Module:
    """Classifier of torchvision with random or ImageNet weights.

    name:   as torchvision has it, ``resnet18``
    newest: those that torchvision trained last, where it has several; else the first ones, which published networks
            began with

    Raises:
        UserError: when the ImageNet weights are neither cached nor can be downloaded, or are not the published ones.
    """
    model = torchvision.models.get_model(name, weights=None)
    if not pretrained:
        return model
    weights = torchvision.models.get_model_weights(name)
    address = (weights.DEFAULT if newest else weights.IMAGENET1K_V1).url
    path = place(address.rpartition("/")[2])
    try:
        obtain(f"ImageNet weights of {TITLES.get(name) or name.replace('resnet', 'ResNet-')}", address, fetch=True)
    except UserError as error:
        reason = str(error).partition("; ")[0]
        raise UserError(
            f"{reason}; put {path.name} of {address} into {path.parent}, let the variable TORCH_HOME name another "
            "folder, or train from scratch with --train-weights-init scratch"
        ) from None
    model.load_state_dict(read_state_dict(path))
    return model


class ResnetEncoder(nn.Module):
    """torchvision ResNet without its classifier.

    For more than one input image the first convolution is tiled along its input channels and divided by their
    number, so that equal images give the response of one.  Source: Monodepth2, SGDepth.
    tiled: False draws that convolution as all others, as Monodepth2 does where nothing is pretrained.
    name:  of torchvision, where it is another network than ``resnet<layers>`` with as many layers and channels.

    Shapes:  x (B, 3 * images, H, W), ImageNet-normalised; H and W multiples of 32, at least 64.
    Returns: five maps, 1/2 to 1/32 of the size, with `widths` channels.
    """

    def __init__(self, layers: int, images: int = 1, pretrained: bool = False, tiled: bool = True, name: str = ""):
        super().__init__()
        self.widths = WIDTHS[layers]
        self.encoder = imagenet_network(name or f"resnet{layers}", pretrained)
        del self.encoder.fc
        if images > 1:
            weight = self.encoder.conv1.weight.detach().repeat(1, images, 1, 1) / images
            if not tiled:
                nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")
            self.encoder.conv1 = nn.Conv2d(3 * images, 64, kernel_size=7, stride=2, padding=3, bias=False)
            self.encoder.conv1.weight = nn.Parameter(weight)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Feature maps, finest first."""
        net = self.encoder
        features = [net.relu(net.bn1(net.conv1(x)))]
        features.append(net.layer1(net.maxpool(features[0])))
        for layer in (net.layer2, net.layer3, net.layer4):
            features.append(layer(features[-1]))
        return features
