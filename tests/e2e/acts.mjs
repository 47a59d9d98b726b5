// A program that has its test do something in between: "at X" is printed, and the test answers with a line when it has.
import {createInterface} from 'node:readline';

const input = createInterface({input: process.stdin})[Symbol.asyncIterator]();

export async function at(name) {
  console.log(`at ${name}`);
  await input.next();
}
