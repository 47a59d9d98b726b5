// Chromium for every test: it sends no traffic of its own to the network, and names of previews are this machine's.

// For chromium.launch and launchPersistentContext. `more`: further rules of --host-resolver-rules.
export const options = (more = '') => ({
  executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
  headless: true,
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', `--host-resolver-rules=MAP *.box.localhost 127.0.0.1${more}`,
  ],
});
