// A tab that is left open, in headless Chromium: node tab.mjs <plan as JSON>. "at X" is printed where the test has
// something to do, which answers with a line; the last line is JSON. HOME holds the store that trusts the authority.
import {createInterface} from 'node:readline';
import {chromium} from 'playwright-core';

const plan = JSON.parse(process.argv[2]);
const input = createInterface({input: process.stdin})[Symbol.asyncIterator]();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  headless: true,
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP *.box.localhost 127.0.0.1',
  ],
});
const seen = {};

async function at(name) {
  console.log(`at ${name}`);
  await input.next();
}

try {
  const page = await browser.newPage();
  page.setDefaultTimeout(plan.patience);
  page.documents = 0;
  page.on('response', (response) => page.documents += response.request().isNavigationRequest());
  await page.goto(plan.url);
  await page.waitForFunction(() => document.title === 'connected');
  await at('open');
  seen.documents = page.documents; // loaded by itself
  if (await page.title() !== 'connected' && await page.locator('#again').isVisible()) { // it has loaded itself again
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
