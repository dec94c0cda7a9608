"""conf/local of a checkout, which git ignores, is on the search path by itself: options of one's own."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class LocalOptions(SearchPathPlugin):
    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        from alexnet_lab.core.paths import LOCAL_CONF

        if LOCAL_CONF.is_dir():
            search_path.append(provider="local", path=f"file://{LOCAL_CONF}")
