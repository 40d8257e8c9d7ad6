/**
 * What Google, Microsoft and the standards' error codes mean to the person who has to cure it: one table.
 *
 * Facts: learn.microsoft.com/entra/identity-platform/reference-error-codes,
 * developers.google.com/identity/protocols/oauth2/native-app and …/web-server#authorization-errors
 */

/** What is wrong, in words of ours. */
export interface Explanation {
  /** One word that stays the same, by which the end of a sign-in is remembered. */
  readonly because: string
  /** What is wrong. */
  readonly sentence: string
  /** What to do about it. */
  readonly next: string
}

export interface Row extends Explanation {
  /** A row fits when one of these does. */
  readonly numbers?: readonly number[]
  readonly subtypes?: readonly string[]
  readonly says?: RegExp
  readonly errors?: readonly string[]
}

/**
 * The first row that fits counts. `{redirect}`, `{client}`, `{tenant}`, `{scope}` and `{host}` stand for what
 * was sent.
 */
export const explanations: readonly Row[] = [
  {
    because: 'redirect-uri',
    numbers: [50011, 500113],
    errors: ['redirect_uri_mismatch'],
    says: /redirect[_ ]?ur[il]\b.*(?:match|valid|registered|allowed)|(?:match|valid|registered|allowed).*redirect[_ ]?ur[il]\b/i,
    sentence: 'the registration does not have the redirect URI that was sent',
    next: 'register exactly {redirect} for the client {client} (a loopback address without its port, where the provider leaves ports open), or set redirect_uri to what is registered',
  },
  {
    because: 'sign-in-frequency',
    numbers: [70043, 70044],
    says: /sign-in frequency/i,
    sentence: 'the organization wants this sign-in repeated every so often',
    next: 'sign in again; only an administrator can lengthen the sign-in frequency (Entra ID, Conditional Access, Session)',
  },
  {
    because: 'session-policy',
    subtypes: ['invalid_rapt', 'rapt_required'],
    sentence: 'the session control of the organization has ended the sign-in',
    next: 'sign in again; an administrator can trust the client {client} in the Google admin console (Security, Google Cloud session control)',
  },
  {
    because: 'admin-consent',
    numbers: [65001, 65005, 90094, 90095, 900941],
    subtypes: ['consent_required'],
    errors: ['consent_required'],
    says: /admin(?:istrator)? (?:consent|approval)/i,
    sentence:
      'consent for this application is missing, and often only an administrator can give it',
    next: 'have an administrator open https://{host}/{tenant}/adminconsent?client_id={client}, then sign in as the user of the mailbox, not as the administrator',
  },
  {
    because: 'admin-policy',
    errors: ['admin_policy_enforced'],
    sentence: 'the Workspace administrator does not allow this application',
    next: 'in the Google admin console, Security, API controls, App access control: trust the client {client}',
  },
  {
    because: 'internal-application',
    errors: ['org_internal'],
    sentence: 'the application is for users of its own organization only',
    next: 'sign in as one of them, or make the audience of the application External in the Google Cloud console',
  },
  {
    because: 'conditional-access',
    numbers: [50005, 50097, 50105, 53000, 53001, 53002, 53003, 53004, 530002, 530003, 530032],
    subtypes: ['device_authentication_failed', 'protection_policy_required'],
    says: /conditional access/i,
    sentence:
      'an access policy of the organization blocks the application, this device or this network',
    next: 'sign in again from an allowed device and network, or have an administrator look at Entra ID, Sign-in logs, Conditional Access',
  },
  {
    because: 'inactivity',
    numbers: [70008, 700082],
    says: /due to inactivity|has been inactive/i,
    sentence: 'the sign-in was not used for so long that it has ended (90 days at Microsoft)',
    next: 'sign in again and leave xoauthd running: it uses each sign-in at least every 14 days',
  },
  {
    because: 'single-page-application',
    numbers: [700081, 700084],
    sentence:
      'the redirect URI is registered for a single-page application, whose sign-ins end after 24 hours',
    next: 'register it under "Mobile and desktop applications" instead, then sign in again',
  },
  {
    because: 'password',
    numbers: [50055, 50056, 50173],
    subtypes: ['user_password_expired'],
    says: /password (?:was |has been |is )?(?:recently )?(?:changed|reset|expired)|auth token.*(?:changed|reset) their password/i,
    sentence: 'the password was changed or has expired, which ends every sign-in',
    next: 'sign in again, with the new password',
  },
  {
    because: 'user-disabled',
    numbers: [50057, 50053],
    says: /user account is disabled|account is locked|account_disabled|account has been deleted/i,
    sentence: 'the user is locked or disabled at the provider',
    next: 'have an administrator unlock the user, then sign in again',
  },
  {
    because: 'user-not-in-tenant',
    numbers: [50020, 50034, 51004, 90072, 16000],
    says: /does not exist in tenant|user account .* does not exist/i,
    sentence: 'the user does not belong to the tenant {tenant}',
    next: 'set tenant to the one of the user ("consumers" for outlook.com, "organizations" for work), or check the spelling of user',
  },
  {
    because: 'second-factor',
    numbers: [50058, 50072, 50074, 50076, 50078, 50079, 50158],
    subtypes: ['basic_action', 'additional_action', 'message_only'],
    errors: ['interaction_required', 'login_required'],
    sentence: 'the provider wants to see the person again, with a second factor or a question',
    next: 'sign in again',
  },
  {
    because: 'secret-expired',
    numbers: [7000222],
    says: /secret.* (?:is|are|has) expired/i,
    sentence: 'the client secret has expired',
    next: 'make a new one for the client {client} at the provider, put its value where client_secret is read from, then run: xoauthd reload',
  },
  {
    because: 'secret-wrong',
    numbers: [7000215],
    says: /invalid client secret|client secret (?:is )?(?:invalid|wrong)/i,
    sentence: 'the client secret is wrong',
    next: "put the secret's value, not its id, where client_secret of the client {client} is read from, then run: xoauthd reload",
  },
  {
    because: 'certificate-wrong',
    numbers: [700027, 700023, 7000272],
    says: /(?:key|certificate).* not (?:found|registered)|assertion.* (?:failed|invalid) signature|invalid JWT signature/i,
    sentence: 'the key or certificate is not one that is registered',
    next: 'register the certificate of the key that is in use, or use the key that is registered, then run: xoauthd reload',
  },
  {
    because: 'public-client',
    numbers: [700025],
    says: /client is public/i,
    sentence: 'the registration is a public client, and it was sent a secret',
    next: 'remove client_secret (and certificate) from the account, then run: xoauthd reload',
  },
  {
    because: 'confidential-client',
    numbers: [7000218, 70002],
    says: /client_secret is missing|'client_assertion' or 'client_secret'/i,
    sentence: 'the registration is a confidential client, and it was sent no secret',
    next: 'set client_secret, or turn on "Allow public client flows" for the client {client} (Entra ID, Authentication)',
  },
  {
    because: 'application-disabled',
    numbers: [7000112],
    errors: ['disabled_client'],
    says: /application .*is disabled/i,
    sentence: 'the application {client} is disabled at the provider',
    next: 'have its owner enable it, or register a client of your own and set client_id',
  },
  {
    because: 'resource-not-in-tenant',
    numbers: [500011, 500014, 650052, 650057],
    errors: ['invalid_resource', 'invalid_target'],
    says: /resource principal .* not found/i,
    sentence: 'the tenant has no mail service by that name: {scope}',
    next: 'check that the tenant has Exchange Online, that cloud is the right one, and the scopes of the account',
  },
  {
    because: 'tenant',
    numbers: [90002, 90023, 50059, 50194, 9002331, 9002346],
    says: /tenant .*not found|multi-?tenant/i,
    sentence: 'the tenant {tenant} is not one that this application can be used with',
    next: 'set tenant to the directory (tenant) id of the registration, or to a kind of account that the registration allows',
  },
  {
    because: 'client-unknown',
    numbers: [700016],
    errors: ['deleted_client'],
    says: /client was not found|application .*not found in the directory/i,
    sentence: 'the provider knows no client {client}',
    next: 'copy client_id from the registration again, and check tenant where the account has one',
  },
  {
    because: 'delegation',
    says: /client is unauthorized to retrieve access tokens|requested client not authorized/i,
    sentence: 'domain-wide delegation is not granted for this client and these scopes',
    next: 'in the Workspace admin console, Security, API controls, Domain-wide delegation: allow the client {client} the scope {scope}',
  },
  {
    because: 'consent-refused',
    numbers: [65004],
    errors: ['access_denied', 'authorization_declined'],
    sentence: 'consent was refused',
    next: 'sign in again and agree to what is asked for',
  },
  {
    because: 'scope',
    numbers: [70011, 28000],
    errors: ['invalid_scope'],
    sentence: 'the server does not grant these scopes, or not together: {scope}',
    next: 'check the scopes of the account against what the registration allows',
  },
  {
    because: 'ended',
    says: /expired or revoked/i,
    sentence: 'the provider has ended the sign-in',
    next: 'sign in again; a changed password, access taken back by the person, or an application in testing does this',
  },
  {
    because: 'client',
    errors: ['invalid_client'],
    sentence: 'the provider does not accept the client {client}',
    next: 'check client_id and client_secret against the registration, then run: xoauthd reload',
  },
  {
    because: 'client-type',
    errors: ['unauthorized_client', 'unsupported_grant_type', 'unsupported_response_type'],
    sentence: 'the registration does not allow this way of asking',
    next: 'check its type, grants and scopes',
  },
  {
    because: 'service-trouble',
    numbers: [90033, 90036, 50196],
    errors: ['temporarily_unavailable', 'server_error', 'internal_failure'],
    sentence: 'the provider has trouble of its own',
    next: 'nothing to do here: xoauthd tries again by itself',
  },
]
