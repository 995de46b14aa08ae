"""The code of the function, as it is uploaded."""

import io
import subprocess
import sys
import zipfile

from pipeline.account.deploy_function import function_zip


def test_the_handler_is_imported_from_the_zip_with_the_standard_library_alone(tmp_path):
    archive = zipfile.ZipFile(io.BytesIO(function_zip()))
    contracts = {name for name in archive.namelist() if name.startswith("steps/contracts/")}
    assert contracts == {"steps/contracts/__init__.py", "steps/contracts/names.py"}
    archive.extractall(tmp_path)
    source = f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; from steps.deploy.handler import handle; print(handle)"
    # Without site-packages: in Lambda there is only boto3 in addition, which is imported at the first call.
    done = subprocess.run([sys.executable, "-I", "-S", "-c", source], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("<function handle"), done.stderr
