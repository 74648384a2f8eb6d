"""Opens pages that trend_page_checks.sh made and does what people do. Usage: trend_page_checks.py CHROMIUM DRIVER
PAGES SCREENSHOTS AXE"""
import concurrent.futures
import gzip
import json
import pathlib
import sys
import time

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

chromium, chromedriver, pages, screenshots, axe_file = sys.argv[1:]
pages, screenshots = pathlib.Path(pages), pathlib.Path(screenshots)
axe = gzip.open(axe_file).read().decode()
problems = []


def check(ok, what):
    if not ok:
        problems.append(what)
        print("FAILED:", what)


class Browser:
    def __init__(self, width=1280, height=1000, dark=False, scripts=True):
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                         "--hide-scrollbars", f"--window-size={width},{height}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        if not scripts:
            options.add_experimental_option("prefs", {"profile.managed_default_content_settings.javascript": 2})
        service = webdriver.chrome.service.Service(chromedriver)
        self.driver = webdriver.Chrome(service=service, options=options)
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": False})
        if dark:
            self.media([{"name": "prefers-color-scheme", "value": "dark"}])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.driver.quit()

    def media(self, features, kind=""):
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": kind, "features": features})

    def open(self, name, address=""):
        self.driver.get("about:blank")
        self.driver.get_log("performance")
        self.driver.get((pages / f"{name}.html").as_uri() + address)

    def js(self, text, *arguments):
        return self.driver.execute_script(text, *arguments)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def quiet(self, name):
        """No console error, and nothing was asked for but the page itself."""
        said = [entry for entry in self.driver.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]
        check(not said, f"{name}: the console says {said[:3]}")
        asked = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] in ("Network.requestWillBeSent", "Network.webSocketCreated"):
                url = message["params"].get("request", message["params"]).get("url", "")
                if not url.startswith(("data:", "about:", pages.as_uri())):
                    asked.append(url)
        check(not asked, f"{name}: requests left for {asked[:3]}")

    def first_paint(self):
        for _ in range(100):
            entries = self.js("return performance.getEntriesByName('first-contentful-paint').map(e => e.startTime)")
            if entries:
                return entries[0]
            time.sleep(0.05)
        return float("inf")

    def shot(self, name):
        self.driver.save_screenshot(str(screenshots / f"{name}.png"))

    def fits(self, name):
        wide = self.js("return document.documentElement.scrollWidth - innerWidth")
        check(wide <= 0, f"{name}: {wide} pixels wider than the window")

    def accessible(self, name):
        self.js(axe)
        found = self.driver.execute_async_script(
            "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(r => done(r.violations))"
            ".catch(e => done([{id: String(e), impact: 'serious', nodes: []}]))")
        serious = [(item["id"], item["nodes"][0]["html"][:160] if item["nodes"] else "") for item in found
                   if item["impact"] in ("serious", "critical")]
        check(not serious, f"{name}: axe-core finds {len(serious)}: {serious[:4]}")

    def visible_cards(self):
        return self.js("return [...document.querySelectorAll('#grid .card')].filter(c => c.offsetParent).length")

    def tab(self, name):
        self.one(f'[data-tab="{name}"]').click()


def large_page():
    size = (pages / "made.html").stat().st_size
    check(size < 2_000_000, f"the page of 200 cells and 365 nights has {size} bytes")
    with Browser() as browser:
        browser.open("made")
        browser.open("made")  # the first start of a browser is its own
        paint = browser.first_paint()
        check(paint < 1000, f"the first paint comes after {paint:.0f} ms")
        cards = browser.visible_cards()
        check(cards >= 200, f"only {cards} cards are seen")
        first = browser.one("#grid .card .title").text
        check("decode" in first and browser.one("#grid .card .delta.worse"), f"the worst is not first: {first}")
        silent = browser.one(".machine.warn").text
        check("silent for 10 days" in silent, f"a silent machine is not seen: {silent}")
        check("REGRESSION" in browser.one(".badge").text, "the verdict is not on top")
        browser.shot("series")
        browser.accessible("series")

        # Filters.
        took = browser.js(
            "const f = document.getElementById('f-model'), t = performance.now(); f.value = 'qwen3-8b';"
            "f.dispatchEvent(new Event('input', {bubbles: true})); document.body.offsetHeight;"
            "return performance.now() - t")
        check(took < 100, f"a filter takes {took:.0f} ms")
        left = browser.visible_cards()
        check(0 < left < cards, f"a filter leaves {left} of {cards}")
        titles = browser.js("return [...document.querySelectorAll('#grid .card')].filter(c => c.offsetParent)"
                            ".map(c => c.querySelector('.title').textContent)")
        check(all("qwen3-8b" in title for title in titles), f"a filter leaves others: {titles[:5]}")
        Select(browser.one("#f-n")).select_by_value("8")
        check(browser.visible_cards() < left, "a second filter leaves as many")
        address = browser.js("return location.hash")
        check("model=qwen3-8b" in address and "n=8" in address, f"the address does not hold filters: {address}")
        browser.one("#f-q").send_keys("nothing has this name")
        check(browser.one("#nothing").is_displayed(), "no word when no series is left")
        browser.one("#clear").click()
        check(browser.visible_cards() == cards, "clear does not clear")
        print(f"page {size} bytes, first paint {paint:.0f} ms, filter {took:.1f} ms, {cards} cards")

        # A series, by keyboard.
        browser.one("body").send_keys("/")
        check(browser.js("return document.activeElement.id") == "f-q", "/ does not find")
        card = browser.one("#grid .card")
        browser.js("arguments[0].focus()", card)
        card.send_keys(Keys.ENTER)
        check(browser.one("#detail").is_displayed(), "enter does not open a series")
        check(len(browser.all("#d-chart canvas")) >= 2, "the series has no chart")
        check("365 of 365" in browser.one("#d-night").text, "the last night is not told")
        for word in ("SM clock", "driver 580", "SHA-256", "assay bench --what decode"):
            check(word in browser.one("#d-night").text, f"a night does not tell '{word}'")
        check("assay gate --baseline" in browser.one("#d-changes").text, "no gate for a change")
        browser.one("#d-close").send_keys(Keys.ARROW_LEFT)
        check("364 of 365" in browser.one("#d-night").text, "an arrow does not go to the night before")
        browser.shot("detail")
        browser.accessible("detail")

        # Zoom, and back.
        whole = browser.js("return assayChart.xAxisRange()")
        chart = browser.one("#d-chart")
        ActionChains(browser.driver).move_to_element_with_offset(chart, -150, -40).click_and_hold().move_by_offset(
            200, 0).release().perform()
        zoomed = browser.js("return assayChart.xAxisRange()")
        check(zoomed[1] - zoomed[0] < 0.6 * (whole[1] - whole[0]), f"dragging does not zoom: {whole}, {zoomed}")
        browser.one("#d-reset").click()
        check(browser.js("return assayChart.xAxisRange()") == whole, "the whole time does not come back")
        low = browser.js("return assayChart.yAxisRange()")[0]
        browser.one("#d-limit").click()
        check(browser.js("return assayChart.yAxisRange()")[0] < 0.9 * low, "the limit is not drawn")
        Select(browser.one("#d-metric")).select_by_visible_text("graph_nodes")
        check("graph_nodes" in browser.one("#d-night").text, "another metric is not told")
        address = browser.js("return location.hash")
        browser.one("#d-close").send_keys(Keys.ESCAPE)
        # Nights without a number say why.
        browser.js("const series = JSON.parse(document.getElementById('data').textContent).series;"
                   "document.querySelector(`.card[data-s='${series.findIndex(s => s && s.o)}']`).click()")
        told = browser.one("#d-changes").text
        check("14 nights have no number: unstable: sw_power_cap" in told, f"nights without a number: {told}")
        browser.one("#d-close").click()

        # The same cell on a machine that is none to compare with.
        browser.one("#f-q").send_keys("gemma4-e4b/bf16/cuda/n=1/context=512 H100")
        browser.js("[...document.querySelectorAll('#grid .card')].find(c => c.offsetParent).click()")
        others = browser.one("#d-others").text
        check("NVIDIA L40S" in others and "driver: 580.159.04 here, 590.12.01 there" in others, f"other keys: {others}")
        browser.one("#d-close").click()
        browser.one("#clear").click()
        browser.open("made", address)
        browser.one("#d-close").send_keys(Keys.ESCAPE)
        check(not browser.one("#detail").is_displayed(), "escape does not close")
        check(browser.js("return location.hash") == "", "a closed series stays in the address")
        browser.open("made", address)
        check("graph_nodes" in browser.one("#d-night").text, f"the address does not open the series: {address}")
        browser.one("#d-close").click()

        # Comparison: the step of 3 % is the surest change between two nights around it.
        browser.tab("compare")
        order = browser.js("return [...document.querySelectorAll('#c-a option')].map(o => o.value)")
        Select(browser.one("#c-a")).select_by_value(order[60])
        Select(browser.one("#c-b")).select_by_value(order[1])
        rows = browser.js("return [...document.querySelectorAll('#c-table tbody tr')].slice(0, 6).map(r => r.innerText)")
        check(any("n=8/context=512" in row and "worse" in row for row in rows), f"the step is not among {rows}")
        browser.shot("compare")
        browser.accessible("compare")
        address = browser.js("return location.hash")
        browser.open("made", address)
        again = browser.js("return [...document.querySelectorAll('#c-table tbody tr')].slice(0, 6).map(r => r.innerText)")
        check(again == rows, "the address does not bring back a comparison")

        for name in ("changes", "parity", "roofline"):
            browser.tab(name)
            check(browser.one(f"#{name}").is_displayed() and not browser.one("#grid").is_displayed(), f"no tab {name}")
            browser.fits(name)
            browser.shot(name)
            browser.accessible(name)
        browser.quiet("large page")

        browser.media([], "print")
        check(browser.one("#parity").is_displayed() and browser.one("#grid").is_displayed() and
              not browser.one("#filters").is_displayed(), "not all is printed")


def phone_page():
    with Browser(width=360, height=780) as phone:
        phone.open("made")
        for name in ("series", "changes", "compare", "parity", "roofline"):
            phone.tab(name)
            phone.fits(f"{name} at 360 pixels")
            phone.shot(f"phone-{name}")
        phone.tab("series")
        phone.one("#grid .card").click()
        inside = phone.js("const d = document.getElementById('detail'); return d.scrollWidth - d.clientWidth")
        check(inside <= 0, f"a series is {inside} pixels too wide for a phone")
        phone.shot("phone-detail")
        phone.quiet("phone")


def dark_page():
    with Browser(dark=True) as night:
        night.open("made")
        colour = night.js("return getComputedStyle(document.documentElement).backgroundColor")
        check(max(int(part) for part in colour[4:-1].split(",")) < 60, f"dark is not dark: {colour}")
        night.shot("dark")
        night.accessible("dark")
        night.tab("parity")
        night.shot("dark-parity")
        night.accessible("dark parity")
        night.tab("series")
        night.one("#grid .card").click()
        night.shot("dark-detail")
        night.accessible("dark detail")
        night.quiet("dark")


def page_without_scripts():
    with Browser(scripts=False) as plain:
        plain.open("made")
        check(plain.one("#grid .card svg path.line").get_attribute("d"), "no picture without scripts")
        for selector in ("#grid .card", "#changes table", "#parity table td", "#roofline svg"):
            check(plain.one(selector).is_displayed(), f"{selector} is not seen without scripts")
        check(not plain.one("#filters").is_displayed(), "filters are seen that do nothing")
        plain.shot("no-script")


def kept_reports():
    with Browser() as browser:
        browser.open("kept")
        browser.shot("kept")
        browser.fits("kept")
        browser.accessible("kept")
        browser.tab("roofline")
        browser.shot("kept-roofline")
        browser.fits("kept roofline")
        browser.tab("parity")
        browser.shot("kept-parity")
        browser.quiet("kept")
        browser.open("none")
        check("holds no runs" in browser.one("#main").text, "a page of nothing does not say so")
        browser.accessible("none")
        browser.quiet("none")


def hostile_text():
    with Browser() as browser:
        browser.open("hostile")
        for name in ("series", "changes", "compare", "parity"):
            browser.tab(name)
            browser.fits(f"hostile {name}")
            browser.shot(f"hostile-{name}")
        browser.tab("series")
        browser.one("#grid .card").click()
        for step in range(3):
            browser.one("#d-close").send_keys(Keys.ARROW_LEFT)
        time.sleep(0.2)
        check(browser.js("return window.hostile") is None, "text of a report ran as a script")
        check(not browser.all("img") and len(browser.all("script")) == 4, "text of a report became elements")
        told = browser.one("#d-title").text
        check("<img src=x onerror" in told and "\\u202E" in told, f"a hostile name is not shown as it is: {told[:200]}")
        browser.one("#d-close").click()
        subject = browser.js("return document.body.innerText.includes('onerror=\"window.hostile=3\"') || "
                             "[...document.querySelectorAll('#c-a option')].some(o => o.text.includes('</script>'))")
        check(subject, "the subject of a commit is not shown")
        browser.tab("parity")
        check("went wrong" in browser.one("#parity").text, "the cell that failed is not told")
        longest = browser.js("return Math.max(...[...document.querySelectorAll('body *')].filter(e => !e.children.length "
                             "&& !/SCRIPT|STYLE/.test(e.tagName)).map(e => e.textContent.length))")
        check(longest < 1000, f"a megabyte of text is shown: {longest} characters")
        browser.accessible("hostile")
        browser.quiet("hostile")


def run(part):
    began = time.time()
    part()
    print(f"{part.__name__}: {time.time() - began:.1f} s")


with concurrent.futures.ThreadPoolExecutor(2) as pool:
    list(pool.map(run, (large_page, phone_page, dark_page, page_without_scripts, kept_reports, hostile_text)))
sys.exit(1 if problems else 0)
