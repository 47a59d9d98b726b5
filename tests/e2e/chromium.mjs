// Opens the demo app's page in headless Chromium and tries each part: node chromium.mjs <url> <profile> <screenshot>.
// Prints one JSON line. HOME holds the certificate store that trusts the edge's authority.
import {chromium} from 'playwright-core';

import {options} from './browser.mjs';

const [url, profile, screenshot] = process.argv.slice(2);
const context = await chromium.launchPersistentContext(profile, {
  ...options(),
  viewport: {width: 1000, height: 1300},
});
const seen = {problems: []};
try {
  const page = await context.newPage();
  page.on('console', (m) => ['error', 'warning'].includes(m.type()) && seen.problems.push(`console: ${m.text()}`));
  page.on('pageerror', (e) => seen.problems.push(`page: ${e.message}`));
  page.on('requestfailed', (r) => seen.problems.push(`request: ${r.url()}: ${r.failure().errorText}`));
  const response = await page.goto(url);
  seen.status = response.status();
  seen.protocol = await page.evaluate(() => performance.getEntriesByType('navigation')[0].nextHopProtocol);
  // Server-sent events: two of them, as they arrive.
  await page.waitForFunction(() => parseInt(document.getElementById('clock-count').textContent) >= 2);
  seen.events = await page.textContent('#clock-count');
  // The WebSocket: a message returns.
  await page.waitForFunction(() => !document.getElementById('echo-send').disabled);
  await page.fill('#echo-text', 'is anybody there? é');
  await page.click('#echo-send');
  await page.waitForFunction(() => document.getElementById('echo-log').textContent.includes('\u2190 is anybody there? é'));
  // The upload of 8 MiB of zeroes.
  await page.click('#upload-send');
  await page.waitForFunction(() => /SHA-256|failed|status/.test(document.getElementById('upload-result').textContent));
  seen.upload = await page.textContent('#upload-result');
  seen.bar = await page.evaluate(() => document.getElementById('upload-bar').value);
  seen.fields = await page.evaluate(() => [...document.querySelectorAll('tr')].map((r) => r.innerText.toLowerCase()));
  await page.screenshot({path: screenshot, fullPage: true});
} finally {
  await context.close();
}
console.log(JSON.stringify(seen));
