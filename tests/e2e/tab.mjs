// A tab that is left open, in headless Chromium: node tab.mjs <plan as JSON>. It prints "at X" when the test has
// something to do, which answers with a line; the last line is JSON. HOME holds the store that trusts the authority.
import {chromium} from 'playwright-core';

import {at} from './acts.mjs';
import {options} from './browser.mjs';

const plan = JSON.parse(process.argv[2]);
const browser = await chromium.launch(options());
const seen = {};

try {
  const page = await browser.newPage();
  page.setDefaultTimeout(plan.patience);
  page.documents = 0;
  page.on('response', (response) => page.documents += response.request().isNavigationRequest());
  await page.goto(plan.url);
  await page.waitForFunction(() => document.title === 'connected');
  await at('open');
  seen.documents = page.documents; // reloaded by itself
  if (await page.title() !== 'connected' && await page.locator('#again').isVisible()) { // it has reloaded itself
    seen.heading = await page.textContent('h1');
    await page.click('#again');
    await page.waitForFunction(() => document.title === 'connected');
  }
  await page.click('button');
  await page.waitForFunction(() => document.getElementById('said').textContent === 'answered');
  await at('clicked');
  await page.reload();
  await page.waitForFunction(() => document.title === 'connected');
  await at('reloaded');
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
process.exit(0);
