#!/usr/bin/env bash
# The trend page in a browser: headless Chromium, driven by Selenium, both from Debian. Installs nothing; where one is
# missing it says which and ends with 77, which CTest counts as skipped. Screenshots stay in the folder that is named.
# Usage: ci/trend_page_checks.sh ASSAY PAGES SCREENSHOTS, PAGES being those of ci/trend_pages.sh.
set -u
. "$(dirname "$0")/expect.sh"
here=$(cd "$(dirname "$0")" && pwd)
pages=$(realpath "$2")
mkdir -p "$3"
screenshots=$(realpath "$3")
find_python selenium || missing 'python3 with selenium'
browser=$(command -v chromium) || missing 'chromium'
driver=$(command -v chromedriver) || missing 'chromedriver'

"$python" "$here/trend_page_checks.py" "$browser" "$driver" "$pages" "$screenshots" \
  "$here/third_party/axe-core/axe.min.js.gz"
