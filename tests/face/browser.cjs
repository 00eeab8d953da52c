// SPDX-License-Identifier: MIT OR Apache-2.0
// What a person does with the status page, in a real browser: node browser.cjs STEP URL TOKEN FOLDER
"use strict";
const assert = require("node:assert");
const path = require("node:path");
const { chromium } = require("playwright-core");

const [step, url, token, folder] = process.argv.slice(2);
const SIZES = { phone: [390, 844], tablet: [820, 1180], desk: [1280, 900] };
const PATIENCE = 30_000;

async function open(browser, [width, height], colorScheme) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme, reducedMotion: "reduce" });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  page.on("pageerror", (error) => page.errors.push(error.message));
  page.on("console", (line) => {
    // A refusal is what one of the steps wants.
    if (line.type() === "error" && !line.text().includes("403")) page.errors.push(line.text());
  });
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith("data:")) page.errors.push("from elsewhere: " + request.url());
  });
  page.errors = [];
  await page.goto(url + "/status");
  await page.locator("#link.live").waitFor();
  return page;
}

// Nothing is cut off, nothing is said in the console, and everything that can be used has a name.
async function judge(page, what) {
  assert.deepStrictEqual(page.errors, [], what);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(wide <= 0, `${what}: ${wide} pixels too wide`);
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll("button, a, input:not([type=hidden]):not([hidden]), progress, svg[role=img]")]
      .filter((e) => !(e.textContent.trim() || e.ariaLabel || (e.labels && e.labels.length)))
      .map((e) => e.outerHTML));
  assert.deepStrictEqual(nameless, [], what);
  // Text against what is behind it (WCAG 2.1, 1.4.3: at least 4.5).
  const pale = await page.evaluate(() => {
    const numbers = (color) => (color.match(/[\d.]+/g) || []).map(Number);
    const light = ([r, g, b]) => {
      const part = [r, g, b].map((v) => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
      return 0.2126 * part[0] + 0.7152 * part[1] + 0.0722 * part[2];
    };
    const behind = (e) => {
      for (; e; e = e.parentElement) {
        const color = numbers(getComputedStyle(e).backgroundColor);
        if (color.length === 3 || color[3] > 0) return color;
      }
      return [255, 255, 255];
    };
    const found = new Set();
    for (const e of document.querySelectorAll("body *")) {
      const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
      if (!own || !e.checkVisibility() || e.closest("svg, script, noscript, select")) continue;
      const [a, b] = [light(numbers(getComputedStyle(e).color)), light(behind(e))];
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (contrast < 4.5) found.add(`${e.className || e.nodeName}: ${contrast.toFixed(2)}`);
    }
    return [...found];
  });
  assert.deepStrictEqual(pale, [], what + ": too pale");
  // What people read out to each other stands in one line.
  const broken = await page.evaluate(() =>
    [...document.querySelectorAll(".mac")].filter((e) => {
      const range = document.createRange();
      range.selectNodeContents(e);
      const tops = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
      return e.checkVisibility() && (tops.size > 1 || e.scrollWidth > e.clientWidth && e.clientWidth > 0);
    }).map((e) => e.textContent));
  assert.deepStrictEqual(broken, [], what + ": over several lines, or cut off");
}

// The page as it is now, at every size, light and dark.
async function pictures(browser, name) {
  for (const scheme of ["light", "dark"]) {
    for (const [size, viewport] of Object.entries(SIZES)) {
      const page = await open(browser, viewport, scheme);
      await judge(page, `${name} ${size} ${scheme}`);
      await page.screenshot({ path: path.join(folder, `${name}-${size}-${scheme}.png`) });
      await page.context().close();
    }
  }
}

// This page, as it is, at every size, light and dark; it goes on at the desk, in the light.
async function look(page, name) {
  for (const scheme of ["dark", "light"]) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
    for (const [size, [width, height]] of Object.entries(SIZES)) {
      await page.setViewportSize({ width, height });
      await judge(page, `${name} ${size} ${scheme}`);
      await page.screenshot({ path: path.join(folder, `${name}-${size}-${scheme}.png`) });
    }
  }
}

// Three clients wait: a wrong token, the right one, start, drop, and the room becomes history.
async function session(browser) {
  const page = await open(browser, SIZES.desk, "light");
  await page.getByText("waiting", { exact: true }).first().waitFor();
  assert.strictEqual(await page.getByRole("button", { name: "Start now" }).count(), 0, "read only without the token");

  // By keyboard alone: the first stop skips to the content, and the token can be typed.
  await page.keyboard.press("Tab");
  assert.strictEqual(await page.evaluate(() => document.activeElement.className), "skip");
  await page.locator(".lock summary").focus();
  await page.keyboard.press("Enter");
  await page.getByLabel("Token").focus();
  await page.keyboard.type("a wrong guess");
  await page.keyboard.press("Enter");
  await page.getByText("that is not the server's token").waitFor();
  await page.getByRole("link", { name: "Back" }).click();
  await page.locator(".lock summary").click();
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Unlock" }).click();
  await page.getByText("Unlocked").waitFor();

  await page.getByRole("button", { name: "Hold" }).first().click();
  await page.getByText("rooms are held").waitFor();
  await page.getByText("held", { exact: true }).first().waitFor();
  // Focus stays while the page renews itself.
  const start = page.getByRole("button", { name: "Start now" });
  await start.focus();
  await page.waitForTimeout(1200);
  assert.strictEqual(await page.evaluate(() => document.activeElement.textContent), "Start now");
  await page.keyboard.press("Enter");
  await page.getByText("sending", { exact: true }).first().waitFor();
  await judge(page, "sending");

  // The map fills: cells that everybody has, and what it says of itself is true.
  const map = page.locator("svg.map").first();
  await map.locator("path.m5").waitFor({ state: "attached" });
  const filled = () => page.evaluate(() => {
    const path = document.querySelector("svg.map path.m5");
    const cells = [...path.getAttribute("d").matchAll(/h(\d+)v1/g)].reduce((sum, run) => sum + Number(run[1]), 0);
    const said = document.querySelector("svg.map").getAttribute("aria-label").match(/(\d+) % held by everybody/)[1];
    const [, , columns, rows] = document.querySelector("svg.map").getAttribute("viewBox").split(" ").map(Number);
    return { cells, share: Math.floor(cells * 100 / (columns * rows)), said: Number(said), colour: getComputedStyle(path).fill };
  });
  const before = await filled();
  assert.strictEqual(before.said, before.share);
  const grey = await page.evaluate(() => getComputedStyle(document.querySelector(".legend path.m0")).fill);
  assert.notStrictEqual(before.colour, grey, "held by all looks like not sent");
  await page.waitForFunction((cells) =>
    [...document.querySelector("svg.map path.m5").getAttribute("d").matchAll(/h(\d+)v1/g)].reduce((sum, run) => sum + Number(run[1]), 0) > cells,
  before.cells);

  // Asked first; "no" changes nothing.
  const id = await page.locator("tr[id^=c-]").first().getAttribute("id");
  const drop = page.locator(`#${id}`).getByRole("button", { name: "Drop" });
  page.once("dialog", (dialog) => dialog.dismiss());
  await drop.click();
  page.once("dialog", (dialog) => dialog.accept());
  await drop.click();
  await page.getByText("the client is dropped").waitFor();
  await page.locator(`#${id} .badge`, { hasText: "dropped" }).waitFor();

  // The others finish.
  await page.locator(".clients .badge.done").nth(1).waitFor();
  await page.locator("#idle-h").waitFor();
  await page.getByRole("link", { name: "History" }).click();
  await page.getByText("2 of 3").waitFor();
  await look(page, "history");
  await page.locator("table.history a").first().click();
  await page.getByText("dropped", { exact: true }).waitFor();
  await look(page, "session");
  assert.deepStrictEqual(page.errors, []);
  await assign(page);
  await page.goto(url + "/status");
  await page.getByRole("button", { name: "Lock" }).click();
  await page.getByText("Read only").waitFor();
}

// From the room to a client's own page: what it boots next is chosen, seen, and taken back.
async function assign(page) {
  await page.goto(url + "/status");
  await page.locator(".clients a[href^='/status/client/']").first().click();
  await page.locator("p", { hasText: /^as the configuration says$/ }).waitFor();
  const boots = page.getByRole("combobox", { name: "Boot" });
  assert.strictEqual(await boots.inputValue(), "rules");
  await boots.selectOption({ label: "debian" });
  await page.getByRole("button", { name: "Assign" }).click();
  await page.getByText("debian, next time").waitFor();
  assert.strictEqual(await boots.inputValue(), "image:debian");
  await look(page, "client");
  await boots.selectOption("rules");
  await page.getByRole("button", { name: "Assign" }).click();
  await page.locator("p", { hasText: /^as the configuration says$/ }).waitFor();
}

(async () => {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu", "--no-proxy-server"],
  });
  try {
    if (step === "session") await session(browser);
    else await pictures(browser, step);
  } finally {
    await browser.close();
  }
})().catch((error) => {
  console.error(error.stack || String(error));
  process.exit(1);
});
