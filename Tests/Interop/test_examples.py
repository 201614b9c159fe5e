"""The Python example, run as a user runs it. `make examples` runs the Swift one."""

import subprocess
import sys

from support import BINARY, ROOT, WithModel


class OpenNative(WithModel):
    def example(self, *arguments):
        script = ROOT / "Examples" / "python" / "open_native.py"
        return subprocess.run(
            [sys.executable, script, *map(str, arguments), "--bertconv", BINARY],
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip

    def test_transformers_and_bertconv_agree_on_it(self):
        output, _ = self.convert(self.prefix)
        shown = self.example(output)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        for number in range(self.config.num_hidden_layers + 1):
            self.assertIn(f"hidden_states.{number}: largest error", shown.stdout)
        self.assertIn("transformers and bertconv agree", shown.stdout)

    def test_a_difference_is_reported(self):
        output, _ = self.convert(self.prefix)
        shown = self.example(output, "--tolerance", 1e-12)
        self.assertEqual(shown.returncode, 1, shown.stderr)
        self.assertIn("they differ by more than 1e-12", shown.stdout)
