"""Old network and solver descriptions turned into those of Caffe 1.0, by the rules of its `upgrade_proto.cpp`.

One module a generation: `v0` (2013), `v1` (2014), `v2` (what grew old within today's format), `solver`.
"""

from pydeepexpr.caffe.upgrade.steps import needs_upgrade, upgrade, upgrade_net, upgrade_solver

__all__ = ["needs_upgrade", "upgrade", "upgrade_net", "upgrade_solver"]
