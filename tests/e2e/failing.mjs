// Opens a page that fails on a screen as wide as a phone's, and waits until the app appears by itself:
// node failing.mjs <url> <profile> <screenshot>. Prints a JSON line when the failure is shown, and one at the end.
import {chromium} from 'playwright-core';

import {options} from './browser.mjs';

const [url, profile, screenshot] = process.argv.slice(2);
const context = await chromium.launchPersistentContext(profile, {
  ...options(),
  viewport: {width: 360, height: 740},
});
try {
  const page = await context.newPage();
  const problems = [];
  page.on('pageerror', (e) => problems.push(e.message));
  const response = await page.goto(url);
  const shown = await page.evaluate(() => {
    // A word that takes two lines is broken.
    const broken = [];
    for (const element of document.querySelectorAll('dd, h1, p, code'))
      for (const node of element.childNodes) {
        if (node.nodeType !== Node.TEXT_NODE) continue;
        for (const word of node.data.matchAll(/[^\s.-]+/g)) {
          const range = document.createRange();
          range.setStart(node, word.index);
          range.setEnd(node, word.index + word[0].length);
          if (range.getClientRects().length > 1) broken.push(word[0]);
        }
      }
    return {text: document.body.innerText, broken, width: document.documentElement.scrollWidth};
  });
  await page.screenshot({path: screenshot, fullPage: true});
  console.log(JSON.stringify({status: response.status(), problems, ...shown}));
  await page.waitForFunction(() => document.body.innerText.includes('here again'), null, {timeout: 120000});
  console.log(JSON.stringify({text: await page.evaluate(() => document.body.innerText), problems}));
} finally {
  await context.close();
}
