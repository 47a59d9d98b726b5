// A program that lets its test act in between: it prints "at X", and the test answers with a line when it is done.
import {createInterface} from 'node:readline';

const input = createInterface({input: process.stdin})[Symbol.asyncIterator]();

export async function at(name) {
  console.log(`at ${name}`);
  await input.next();
}
