// made by `hushkey install yarn`, taken away by `hushkey uninstall yarn`
// The hooks: yarnpkg.com/advanced/plugin-tutorial

const PROGRAM = "hushkey-answer";
const DEADLINE = 600; // seconds, in which a person may sign in

module.exports = {
  name: "yarn-plugin-hushkey",
  factory: require => {
    const {spawn} = require("child_process");
    const {URL} = require("url");

    // registry -> the promise of its header, and until when that is kept (ms, UTC)
    const known = new Map();
    // header -> the origins that it was made for
    const owners = new Map();

    // Run the program once; resolves to {} if it has no header for the registry.
    const run = registry =>
      new Promise(resolve => {
        const stdio = ["ignore", "pipe", "inherit"]; // what it says is for the person
        const child = spawn(PROGRAM, ["yarn", registry], {stdio, windowsHide: true});
        let over = false;
        const end = (line, found) => {
          if (over) return;
          over = true;
          clearTimeout(timer);
          if (line) process.stderr.write(`hushkey: ${line}\n`);
          resolve(found || {});
        };
        const timer = setTimeout(() => {
          child.kill("SIGKILL");
          child.stdout.destroy();
          end(`${new URL(registry).host} got no answer in ${DEADLINE} s`);
        }, DEADLINE * 1000);
        child.on("error", ({code}) =>
          end(`cannot start ${PROGRAM} (${code}); run: hushkey install yarn`),
        );
        let text = "";
        child.stdout.on("data", piece => (text += piece));
        child.on("close", (code, signal) => {
          if (signal) return end(`${PROGRAM} was ended by ${signal}`);
          if (code !== 0) return end(); // and has said why
          try {
            end("", JSON.parse(text));
          } catch (error) {
            end(`the answer of ${PROGRAM} cannot be read; run: hushkey install yarn`);
          }
        });
      }).catch(() => ({})); // no process or pipe is left on this machine

    // Yarn asks for every request, many at once: one answer serves half of its life,
    // so that no request goes out with a token about to end; a failure the whole run.
    const headerFor = registry => {
      let one = known.get(registry);
      if (!one || one.until <= Date.now()) {
        one = {until: Infinity};
        known.set(registry, one);
        const taken = one;
        taken.header = run(registry).then(({authorization, expires}) => {
          const now = Date.now();
          if (expires) taken.until = Math.max(now + 1000, (now + expires * 1000) / 2);
          return authorization;
        });
      }
      return one.header;
    };

    // A password in the URL is an answer, too, and no word for another program.
    const getNpmAuthenticationHeader = async (currentHeader, registry) => {
      if (!registry.startsWith("https://") || new URL(registry).password)
        return currentHeader;
      const header = await headerFor(registry);
      if (!header) return currentHeader;
      owners.set(header, (owners.get(header) || new Set()).add(new URL(registry).origin));
      return header;
    };

    // Yarn sends a registry's header along to wherever a lockfile says that an archive
    // is. Ours stays with the registry.
    const wrapNetworkRequest = async (executor, {target, headers}) => {
      const origins = headers && owners.get(headers.authorization);
      if (origins && !origins.has(new URL(target).origin)) delete headers.authorization;
      return executor;
    };

    return {hooks: {getNpmAuthenticationHeader, wrapNetworkRequest}};
  },
};
