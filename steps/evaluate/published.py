"""The published baseline on the Amazon Bin Image Dataset, quantities 0 to 5.

A ResNet34 from scratch on the whole data set (535,234 photos), on that work's own split:
https://github.com/silverbottlep/abid_challenge
"""

from __future__ import annotations

ACCURACY = 0.5567
RMSE = 0.930
ACCURACY_BY_QUANTITY = {0: 0.977, 1: 0.834, 2: 0.672, 3: 0.549, 4: 0.426, 5: 0.449}
NAME = "published ResNet34"
CAVEAT = "whole data set, another split"
