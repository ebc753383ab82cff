"""Looking at what was learned: overlays, plots and videos. Nothing here is needed to train or evaluate."""
