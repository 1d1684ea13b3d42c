"""Image classification: a torchvision backbone on a folder of pictures.

accelerate launch recipes/image_cls.py      # digits that come with scikit-learn, built-in backbone, beside scratch
accelerate launch recipes/image_cls.py --train pictures/train --test pictures/val --backbone resnet50
accelerate launch recipes/image_cls.py --config recipes/classic_vgg16.json --train pictures/train --test pictures/val
"""

from mmtransfer.cli import recipe
from mmtransfer.config import IMAGE

if __name__ == "__main__":
    recipe(IMAGE)
