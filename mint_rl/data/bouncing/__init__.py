"""A set of videos that needs no download: objects that slide over a table, collide, come and go."""

from mint_rl.data.bouncing.videos import (
    TEST_SEED,
    BouncingConfig,
    bouncing_video,
    is_bouncing,
    masked_bouncing,
    parse_bouncing,
)

__all__ = [
    "TEST_SEED",
    "BouncingConfig",
    "bouncing_video",
    "is_bouncing",
    "masked_bouncing",
    "parse_bouncing",
]
