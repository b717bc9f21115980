/** Who may come in, once it is known who it is: rules over names, the first that fits decides. */
export interface Authorizer {
  /** May whoever is known by this name come in; undefined is somebody without a name. */
  allows(identity: string | undefined): boolean;
}

export const POLICIES = ['deny', 'allow'] as const;
export type Policy = (typeof POLICIES)[number];

export const MATCHES = ['exact', 'glob'] as const;

export interface AuthorizationRule {
  readonly match: string;
  readonly policy: Policy;
  readonly format: (typeof MATCHES)[number];
}

/** Rules in their order, and what holds for those whom none fits. Nobody without a name is let in. */
export function ruleAuthorizer(rules: readonly AuthorizationRule[], policy: Policy): Authorizer {
  return {
    allows(identity) {
      if (identity === undefined) return false;
      const rule = rules.find((each) => fits(each, identity));
      return (rule?.policy ?? policy) === 'allow';
    },
  };
}

function fits({ match, format }: AuthorizationRule, identity: string): boolean {
  return format === 'exact' ? match === identity : matchesGlob(match, identity);
}

/**
 * `*` for any characters, `?` for one. In time proportional to both lengths at most, since the name is another's: only
 * the last star is ever tried anew.
 */
export function matchesGlob(pattern: string, text: string): boolean {
  let at = 0;
  let from = 0;
  let star = -1;
  let resume = 0;
  while (from < text.length) {
    if (at < pattern.length && pattern[at] === '*') {
      star = at++;
      resume = from;
    } else if (at < pattern.length && (pattern[at] === '?' || pattern[at] === text[from])) {
      at++;
      from++;
    } else if (star >= 0) {
      at = star + 1;
      from = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[at] === '*') at++;
  return at === pattern.length;
}
