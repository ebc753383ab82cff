"""Videos of any kind, as the frames that an encoder is trained on."""

from mint_rl.data.videos.config import VideoConfig
from mint_rl.data.videos.video_set import VideoSet, open_videos

__all__ = ["VideoConfig", "VideoSet", "open_videos"]
