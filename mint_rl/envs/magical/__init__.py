"""MAGICAL on gymnasium, headless. Importing this package registers the environments; it is quick."""

from mint_rl.envs.magical.registration import register

register()
