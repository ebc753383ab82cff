"""Policies for Stable-Baselines3: interaction network and flat MLP on keypoints, CNN agent on pixels."""
