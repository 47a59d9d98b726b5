// Waits for boxes in headless Chromium: node waking.mjs <plan as JSON>. It prints "at X" when the test has something
// to do, which answers with a line; the last line is JSON. HOME holds the store that trusts the edge's authority.
import {chromium} from 'playwright-core';

import {at} from './acts.mjs';
import {options} from './browser.mjs';

const plan = JSON.parse(process.argv[2]);
const browser = await chromium.launch(options());
const seen = {problems: []};
const shot = (page, name) => page.screenshot({path: `${plan.shots}/${name}.png`, fullPage: true});

// A page whose errors are kept, except expected statuses.
async function open(options = {}) {
  const context = await browser.newContext({viewport: {width: 900, height: 700}, ...options});
  const page = await context.newPage();
  page.on('console', (m) => ['error', 'warning'].includes(m.type()) && !/status of (401|503)/.test(m.text()) &&
      seen.problems.push(`console: ${m.text()}`));
  page.on('pageerror', (e) => seen.problems.push(`page: ${e.message}`));
  page.documents = [];
  page.on('response', (r) => r.request().isNavigationRequest() && page.documents.push(r.status()));
  return page;
}

const now = (page) => page.textContent('.stages .now');
const becomes = (page, text) => page.waitForFunction(
    (t) => document.querySelector('.stages .now')?.textContent.includes(t), text);
const isApp = (page) => page.waitForSelector('h1:text-is("The app")');

const runs = {
  async slow() {
    const page = await open();
    seen.status = (await page.goto(plan.url)).status();
    seen.names = await page.textContent('#wake');
    seen.heading = await page.textContent('h1');
    seen.first = await now(page);
    await at('resuming');
    await becomes(page, 'on port');
    seen.said = await page.textContent('[role=status]');
    seen.step = await page.getAttribute('.stages .now', 'aria-current');
    const elapsed = await page.textContent('#elapsed');
    await page.waitForFunction((t) => document.getElementById('elapsed').textContent !== t, elapsed);
    await shot(page, 'waking-starting');
    await at('starting');
    await isApp(page);
    seen.url = page.url();
    seen.history = await page.evaluate(() => history.length);
    seen.documents = page.documents;
  },
  async quick() {
    const page = await open();
    seen.status = (await page.goto(plan.url)).status();
    await isApp(page);
    seen.timing = await page.evaluate(
        () => performance.getEntriesByType('navigation')[0].serverTiming.map((t) => [t.name, t.duration >= 0]));
    seen.documents = page.documents;
  },
  async noscript() {
    const page = await open({javaScriptEnabled: false});
    seen.status = (await page.goto(plan.url)).status();
    seen.note = await page.textContent('noscript p');
    await shot(page, 'waking-noscript');
    await at('waiting');
    await isApp(page);
    seen.documents = page.documents;
  },
  async failed() {
    const page = await open();
    seen.status = (await page.goto(plan.url)).status();
    await at('waiting');
    await page.waitForSelector('#failed:visible');
    seen.heading = await page.textContent('h1');
    seen.title = await page.title();
    seen.why = await page.textContent('[role=alert]');
    seen.waiting = await page.locator('#waiting').isVisible();
    seen.early = [await page.getAttribute('#again', 'aria-disabled'), await page.textContent('#again')];
    await shot(page, 'waking-failed');
    await page.click('#again', {force: true}); // without effect yet
    // The same address again, while the failure is remembered: the page shows it immediately.
    const other = await page.context().newPage();
    seen.meanwhile = (await other.goto(plan.url)).status();
    seen.told = await other.textContent('[role=alert]');
    seen.countdown = /^Try again in \d s$/.test(await other.textContent('#again'));
    await other.close();
    await at('failed');
    await page.waitForSelector('#again:text-is("Try again")');
    await page.click('#again');
    await isApp(page);
    seen.documents = page.documents;
  },
  async signin() {
    const page = await open();
    seen.asked = (await page.goto(plan.url)).status();
    await page.fill('#token', plan.token);
    await page.click('button');
    await becomes(page, 'Resuming');
    await at('resuming');
    await becomes(page, 'on port');
    await at('starting');
    await isApp(page);
    seen.url = page.url();
  },
  // Other possible contents of the events.
  async events() {
    const page = await open();
    let readies = 0;
    await page.route('**/.well-known/boxedge/wake', (route) => route.fulfill({
      contentType: 'text/event-stream', body: `event: ${readies-- > 0 ? 'ready' : 'asleep'}\ndata: {}\n\n`}));
    await page.goto(plan.url);
    await page.waitForSelector('#failed:visible');
    seen.asleep = [await page.textContent('#why'), await page.textContent('#again')];
    // Reported of a box that does not run yet: the page reloads, but at most once a second.
    await page.context().addInitScript(() => {
      sessionStorage.began = [...(sessionStorage.began || '').split(' '), performance.timeOrigin].join(' ');
    });
    readies = 2;
    await page.click('#again');
    await page.waitForFunction(() => (sessionStorage.began || '').split(' ').length > 3);
    await page.waitForSelector('#failed:visible');
    const began = (await page.evaluate(() => sessionStorage.began)).trim().split(' ');
    seen.apart = began.slice(1).map((t, i) => Math.round(t - began[i]));
    await page.context().close();
    // Refused: the answer to a reload has the reason.
    const other = await open();
    await other.route('**/.well-known/boxedge/wake', (route) => route.fulfill({status: 401, body: ''}));
    await other.goto(plan.url);
    while (other.documents.length < 2)
      await other.waitForEvent('response');
  },
  // The demo app, which sleeps: the page shows the time of the wake, and only after a wake.
  async demo() {
    const page = await open();
    seen.status = (await page.goto(plan.url)).status();
    await page.waitForSelector('#woke:visible');
    seen.woke = await page.textContent('#woke');
    seen.timing = await page.evaluate(() => Object.fromEntries(
        performance.getEntriesByType('navigation')[0].serverTiming.map((t) => [t.name, t.duration])));
    await page.reload();
    await page.waitForSelector('h1');
    seen.again = await page.locator('#woke').isVisible();
  },
  async looks() {
    const phone = {viewport: {width: 360, height: 640}, isMobile: true, hasTouch: true, deviceScaleFactor: 2};
    const still = {reducedMotion: 'reduce'};
    for (const [name, options] of Object.entries({
      desktop: {}, dark: {colorScheme: 'dark'}, phone, phonedark: {...phone, colorScheme: 'dark'}, still,
    })) {
      const page = await open(options);
      const wide = () => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      await page.goto(plan.url);
      await becomes(page, 'on port');
      await shot(page, `waking-${name}`);
      const turns = await page.evaluate(() => getComputedStyle(document.querySelector('.now i')).animationName);
      const over = await wide();
      await page.goto(plan.broken);
      await page.waitForSelector('#failed:visible');
      await shot(page, `waking-failed-${name}`);
      seen[name] = [turns, over, await wide()];
      await page.context().close();
    }
  },
};

try {
  await runs[plan.run]();
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
process.exit(0);
