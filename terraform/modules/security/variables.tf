variable "name" {
  description = "Name of the policy; GCPBackendPolicy refers to it."
  type        = string
  default     = "imagen-api-policy"

  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$", var.name))
    error_message = "name: 1 to 63 lower-case letters, digits and hyphens, a letter first."
  }
}

variable "address_lists" {
  description = "Addresses that get 403, as named lists of ranges. Ten ranges become one rule."
  type = map(object({
    ranges  = list(string)
    preview = optional(bool, false)
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.address_lists) : can(regex("^[a-z0-9-]{1,40}$", name))])
    error_message = "address_lists: a list's name has 1 to 40 lower-case letters, digits and hyphens."
  }

  validation {
    condition     = alltrue([for list in values(var.address_lists) : length(list.ranges) > 0])
    error_message = "address_lists: a list without ranges; leave the list out."
  }

  validation {
    condition = alltrue(flatten([
      for list in values(var.address_lists) : [
        for range in list.ranges : try(cidrsubnet(range, 0, 0) == range, false)
      ]
    ]))
    error_message = "address_lists: a range is the first address of a network and its length, in lower case: 198.51.100.0/24, 203.0.113.9/32, 2001:db8::/32."
  }

  validation {
    condition = alltrue(flatten([
      for list in values(var.address_lists) : [for range in list.ranges : !endswith(range, "/0")]
    ]))
    error_message = "address_lists: a range of length 0 is everybody."
  }

  validation {
    condition     = sum(concat([0], [for list in values(var.address_lists) : ceil(length(list.ranges) / 10)])) <= 100
    error_message = "address_lists: more than 100 rules of ten ranges; use an address group instead."
  }
}

variable "threat_intelligence" {
  description = "Google's lists of addresses that get 403. Needs Cloud Armor Enterprise."
  type = map(object({
    preview = optional(bool, true)
  }))
  default = {}

  validation {
    condition     = length(setsubtract(keys(var.threat_intelligence), local.threat_lists)) == 0
    error_message = "threat_intelligence: known are ${join(", ", local.threat_lists)}. Lists of clouds and crawlers are not here: the clients of an API are programs, and run in clouds."
  }
}

variable "waf" {
  description = "Preconfigured rule sets that answer 403, once they are in waf_enforced as well."
  type = map(object({
    sensitivity = optional(number, 1)
    opt_out     = optional(list(string), [])
    opt_in      = optional(list(string), [])
  }))
  default = {
    cve-canary                   = {}
    sqli-v422-stable             = {}
    xss-v422-stable              = {}
    lfi-v422-stable              = {}
    rfi-v422-stable              = {}
    rce-v422-stable              = {}
    protocolattack-v422-stable   = {}
    scannerdetection-v422-stable = {}
    sessionfixation-v422-stable  = {}
    generic-v422-stable          = {}
  }

  validation {
    condition     = length(setsubtract(keys(var.waf), local.waf_sets)) == 0
    error_message = "waf: known are ${join(", ", local.waf_sets)}."
  }

  validation {
    condition     = alltrue([for set in values(var.waf) : contains([0, 1, 2, 3, 4], set.sensitivity)])
    error_message = "waf: sensitivity is a whole number from 0 to 4."
  }

  validation {
    condition     = alltrue([for set in values(var.waf) : (set.sensitivity == 0) == (length(set.opt_in) > 0)])
    error_message = "waf: sensitivity 0 looks at nothing but what is in opt_in; opt_in needs sensitivity 0."
  }

  validation {
    condition     = alltrue([for set in values(var.waf) : length(set.opt_in) == 0 || length(set.opt_out) == 0])
    error_message = "waf: opt_in and opt_out exclude each other."
  }

  validation {
    condition = alltrue(flatten([
      for name, set in var.waf : [
        for id in concat(set.opt_in, set.opt_out) : can(regex(
          name == "cve-canary"
          ? "^(owasp-crs|google-mrs)-v[0-9]{6}-id[0-9]{6}-[a-z]+$"
          : "^owasp-crs-v042200-id[0-9]{6}-${split("-", name)[0]}$",
          id
        ))
      ]
    ]))
    error_message = "waf: a signature is named like owasp-crs-v042200-id942350-sqli: its version is that of the set (ids of 3.3 mean nothing to 4.22), its last word the set's first."
  }
}

variable "waf_enforced" {
  description = "The sets that refuse. All others are in preview: they write log lines. Move a set here when its lines are attacks."
  type        = set(string)
  default     = ["cve-canary"]

  validation {
    condition     = length(setsubtract(var.waf_enforced, keys(var.waf))) == 0
    error_message = "waf_enforced: every one of them has to be in waf, too."
  }
}

variable "rate_ban" {
  description = "Who sends more than `count` requests in `interval_sec` gets 429; who goes on, so that `ban_count` are refused in `ban_interval_sec`, gets it for `ban_sec`. A flood gate: regional and approximate."
  type = object({
    key              = optional(string, "IP")
    user_ip_headers  = optional(list(string), [])
    count            = optional(number, 600)
    interval_sec     = optional(number, 60)
    ban_count        = optional(number, 3000)
    ban_interval_sec = optional(number, 300)
    ban_sec          = optional(number, 600)
    preview          = optional(bool, false)
  })
  default = {}

  validation {
    condition     = contains(["IP", "USER_IP"], var.rate_ban.key)
    error_message = "rate_ban.key: IP, or USER_IP behind a CDN. With ALL one client bans everybody; XFF_IP and headers are what the client says they are."
  }

  validation {
    condition     = (var.rate_ban.key == "USER_IP") == (length(var.rate_ban.user_ip_headers) > 0)
    error_message = "rate_ban.user_ip_headers: the headers in which the CDN names the client, with key USER_IP and only then."
  }

  validation {
    condition     = alltrue([for count in [var.rate_ban.count, var.rate_ban.ban_count] : count >= 1 && count <= 10000 && floor(count) == count])
    error_message = "rate_ban: count and ban_count are whole numbers from 1 to 10000."
  }

  validation {
    condition     = contains(local.intervals, var.rate_ban.interval_sec)
    error_message = "rate_ban.interval_sec: one of ${join(", ", local.intervals)}."
  }

  validation {
    condition     = var.rate_ban.ban_interval_sec >= 60 && contains(local.intervals, var.rate_ban.ban_interval_sec)
    error_message = "rate_ban.ban_interval_sec: 60 or more, of ${join(", ", local.intervals)}; the API refuses 10 and 30 here."
  }

  validation {
    condition     = contains(local.ban_durations, var.rate_ban.ban_sec)
    error_message = "rate_ban.ban_sec: one of ${join(", ", local.ban_durations)}."
  }
}

variable "adaptive_protection" {
  description = "Whether Google looks for unusual traffic and proposes rules."
  type        = bool
  default     = true
}

variable "verbose_log" {
  description = "Whether log lines say what matched. Needed to judge previews; parts of requests are in them."
  type        = bool
  default     = true
}
