// What the compiler does not see: names and types are its business (tsconfig.json). Run from the
// root of the checkout (`npm run check`), so that the page's files lie below it.

import js from '@eslint/js';

export default [
  { ignores: ['**/node_modules/'] },
  {
    ...js.configs.recommended,
    linterOptions: { reportUnusedDisableDirectives: 'error' },
    rules: {
      ...js.configs.recommended.rules,
      'no-undef': 'off',
      'complexity': ['error', 12],
      'consistent-return': 'error',
      'curly': ['error', 'multi-line'],
      'default-case-last': 'error',
      'eqeqeq': 'error',
      'max-len': ['error', { code: 100, ignoreUrls: true }],
      'max-lines': ['error', 450],
      'no-console': 'error',
      'no-eval': 'error',
      'no-implicit-coercion': 'error',
      'no-param-reassign': 'error',
      'no-self-compare': 'error',
      'no-shadow': 'error',
      'no-throw-literal': 'error',
      'no-unused-expressions': 'error',
      'no-use-before-define': ['error', { functions: false, classes: false }],
      'no-var': 'error',
      'object-shorthand': 'error',
      'prefer-const': 'error',
      'prefer-template': 'error',
      'quotes': ['error', 'single', { avoidEscape: true }],
      'require-atomic-updates': 'error',
    },
  },
];
