// What `hushkey run yarn` names in YARN_PLUGINS: the token goes to its host alone. Yarn
// sends it to each registry that a project names, and to each archive of a lockfile.

module.exports = {
  name: "yarn-guard-hushkey",
  factory: require => {
    const {URL} = require("url");
    const {YARN_NPM_AUTH_TOKEN: token, HUSHKEY_YARN_REGISTRY: registry} = process.env;

    const wrapNetworkRequest = async (executor, {target, headers}) => {
      const ours = headers && headers.authorization === `Bearer ${token}`;
      if (ours && new URL(target).origin !== new URL(registry).origin)
        delete headers.authorization;
      return executor;
    };

    return {hooks: {wrapNetworkRequest}};
  },
};
