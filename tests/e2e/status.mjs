// The status page in headless Chromium: node status.mjs <plan as JSON>. It prints "at X" when the test has something
// to do, which answers with a line; the last line is JSON.
import {chromium} from 'playwright-core';

import {at} from './acts.mjs';
import {options} from './browser.mjs';

const plan = JSON.parse(process.argv[2]);
const browser = await chromium.launch(options());
const seen = {problems: [], shapes: {}};
const screens = {desktop: {width: 1280, height: 900}, phone: {width: 390, height: 844}, narrow: {width: 360, height: 740}};
const context = await browser.newContext({viewport: screens.desktop});
const page = await context.newPage();
// A request without an answer is an error on the console: the edge is away for a while.
page.on('console', (m) => ['error', 'warning'].includes(m.type()) && !/Failed to load resource/.test(m.text()) &&
    seen.problems.push(`console: ${m.text()}`));
page.on('pageerror', (e) => seen.problems.push(`page: ${e.message}`));
page.on('request', (r) => new URL(r.url()).origin === plan.origin || r.url().startsWith('data:') ||
    seen.problems.push(`request: ${r.url()}`));

// The page's clock turns as fast as its answers come.
async function shown(condition, argument) {
  while (!await page.evaluate(condition, argument)) {
    await page.clock.runFor(2000);
    await page.waitForTimeout(50);
  }
}
const state = (name) => shown((n) => document.body.dataset.state === n, name);
const text = (selector) => page.textContent(selector);
const rows = (table) => page.$$eval(`#${table} tbody tr`, (all) => all.map((row) => [...row.cells].map((c) => c.textContent)));

// The width that the page needs on each screen, and with plan.shots its pictures.
async function shapes(name) {
  for (const [screen, viewport] of Object.entries(screens)) {
    await page.setViewportSize(viewport);
    for (const colorScheme of plan.shots && screen !== 'narrow' ? ['light', 'dark'] : []) {
      await page.emulateMedia({colorScheme, reducedMotion: 'reduce'});
      if (name === 'search') await page.evaluate(() => document.getElementById('recent').scrollIntoView());
      await page.screenshot({path: `${plan.shots}/status-${name}-${screen}-${colorScheme}.png`, fullPage: name !== 'search'});
    }
    seen.shapes[`${name} ${screen}`] = await page.evaluate(() => document.documentElement.scrollWidth);
  }
  await page.setViewportSize(screens.desktop);
}

try {
  await page.clock.install();
  seen.status = (await page.goto(plan.link)).status();
  seen.url = page.url();
  await state('live');
  seen.headings = await page.$$eval('h1, h2', (all) => all.filter((h) => h.checkVisibility()).map((h) => h.textContent));
  // Rates are there with the second answer.
  await shown(() => document.getElementById('tile-requests').textContent === '0/s');
  seen.empty = await page.$$eval('.none, .empty', (all) => all.filter((e) => e.checkVisibility()).map((e) => e.textContent));
  await shapes('empty');

  await at('load');
  // A wake that takes its time on a busy machine may add others.
  await shown((codes) => codes.every((code) => [...document.querySelectorAll('#errors tbody th')].some((th) => th.textContent === code)),
      plan.errors);
  await shown(() => document.querySelector('#boxes tbody td').textContent === '2');
  await shown(() => /^[\d.]+ m?s$/.test(document.getElementById('tile-p95').textContent) &&
    document.querySelector('#chart-latency path.one').getAttribute('d').includes('L'));
  seen.errors = await rows('errors');
  seen.boxes = await rows('boxes');
  seen.servers = await rows('servers');
  seen.processes = await rows('processes');
  seen.faults = await page.$$eval('#faults li', (all) => all.map((e) => e.textContent));
  seen.label = await page.getAttribute('#chart-requests svg[role=img]', 'aria-label');
  for (let i = 0; i < plan.linger; i++) await shown((n) => document.querySelectorAll('#chart-requests path.one')[0]
      .getAttribute('d').split('L').length > n, i);
  await shapes('loaded');
  const search = async (find, mark) => {
    await page.fill('#find', find);
    await page.press('#find', 'Enter');
    await shown((m) => document.getElementById('found').textContent.includes(m), mark);
    return page.$$eval('#lines li', (all) => all.map((e) => e.textContent));
  };
  seen.ofBox = await search(plan.box, 'requests of the');
  await shapes('search');
  seen.elements = await page.$$eval('#lines li *', (all) => [...new Set(all.map((e) => e.tagName))].sort());
  seen.ofId = await search(seen.ofBox[0].match(/ id ([0-9a-z]+)$/)[1], 'One request of the');
  seen.ofNobody = await search('nobody-at-all', 'None of the');
  seen.ofText = await search('a b', 'Only letters');

  await page.hover('#chart-requests .plot', {position: {x: 200, y: 40}});
  seen.hovered = await text('#chart-requests .axis span:last-child');
  await page.mouse.move(0, 0);

  await at('stop');
  await state('lost');
  seen.lost = await text('#live');
  await shapes('lost');
  await at('start');
  await state('live');
  await at('end');
  await state('lost');
  seen.ended = await text('#live');
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
process.exit(0);
