# Rules are looked at in the order of their priorities, and the first enforced match decides. The
# order is therefore made here, out of bands, and cannot be given: addresses, threat lists, WAF,
# rate, default. A rate rule admits what is within its rate, so above the WAF it would switch it off.

locals {
  first_address = 1000
  first_threat  = 2000
  first_waf     = 3000
  rate_ban      = 2147483000
  default       = 2147483647

  # The place of a name is its priority: new names go to the end.
  threat_lists = [
    "iplist-known-malicious-ips",
    "iplist-tor-exit-nodes",
    "iplist-anon-proxies",
    "iplist-vpn-providers",
    "iplist-crypto-miners",
  ]
  waf_sets = [
    "cve-canary",
    "sqli-v422-stable",
    "xss-v422-stable",
    "lfi-v422-stable",
    "rfi-v422-stable",
    "rce-v422-stable",
    "protocolattack-v422-stable",
    "scannerdetection-v422-stable",
    "sessionfixation-v422-stable",
    "generic-v422-stable",
    "methodenforcement-v422-stable",
    "php-v422-stable",
    "java-v422-stable",
  ]
  intervals     = [10, 30, 60, 120, 180, 240, 300, 600, 900, 1200, 1800, 2700, 3600]
  ban_durations = [60, 120, 180, 240, 300, 600, 900, 1200, 1800, 2700, 3600]

  address_rules = flatten([
    for name, list in var.address_lists : [
      for ranges in chunklist(list.ranges, 10) : { name = name, ranges = ranges, preview = list.preview }
    ]
  ])

  waf_options = {
    for name, set in var.waf : name => join(", ", concat(
      ["'sensitivity': ${set.sensitivity}"],
      [for id in [join("', '", set.opt_in)] : "'opt_in_rule_ids': ['${id}']" if id != ""],
      [for id in [join("', '", set.opt_out)] : "'opt_out_rule_ids': ['${id}']" if id != ""],
    ))
  }
  waf_expressions = {
    for name, options in local.waf_options : name => "evaluatePreconfiguredWaf('${name}', {${options}})"
  }
}

resource "google_compute_security_policy" "api" {
  name        = var.name
  description = "What may reach the API: addresses, attacks, floods."
  type        = "CLOUD_ARMOR"

  advanced_options_config {
    json_parsing            = "STANDARD"
    log_level               = var.verbose_log ? "VERBOSE" : "NORMAL"
    user_ip_request_headers = var.rate_ban.user_ip_headers
  }

  adaptive_protection_config {
    layer_7_ddos_defense_config {
      enable          = var.adaptive_protection
      rule_visibility = "STANDARD"
    }
  }

  dynamic "rule" {
    for_each = { for place, addresses in local.address_rules : local.first_address + place => addresses }

    content {
      action      = "deny(403)"
      priority    = rule.key
      preview     = rule.value.preview
      description = "Addresses: ${rule.value.name}"

      match {
        versioned_expr = "SRC_IPS_V1"
        config {
          src_ip_ranges = rule.value.ranges
        }
      }
    }
  }

  dynamic "rule" {
    for_each = var.threat_intelligence

    content {
      action      = "deny(403)"
      priority    = local.first_threat + index(local.threat_lists, rule.key)
      preview     = rule.value.preview
      description = "Threat intelligence: ${rule.key}"

      match {
        expr {
          expression = "evaluateThreatIntelligence('${rule.key}')"
        }
      }
    }
  }

  dynamic "rule" {
    for_each = var.waf

    content {
      action      = "deny(403)"
      priority    = local.first_waf + index(local.waf_sets, rule.key)
      preview     = !contains(var.waf_enforced, rule.key)
      description = "WAF: ${rule.key}"

      match {
        expr {
          expression = local.waf_expressions[rule.key]
        }
      }
    }
  }

  rule {
    action      = "rate_based_ban"
    priority    = local.rate_ban
    preview     = var.rate_ban.preview
    description = "Rate: who floods is banned"

    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }

    rate_limit_options {
      conform_action   = "allow"
      exceed_action    = "deny(429)"
      enforce_on_key   = var.rate_ban.key
      ban_duration_sec = var.rate_ban.ban_sec

      rate_limit_threshold {
        count        = var.rate_ban.count
        interval_sec = var.rate_ban.interval_sec
      }

      ban_threshold {
        count        = var.rate_ban.ban_count
        interval_sec = var.rate_ban.ban_interval_sec
      }
    }
  }

  rule {
    action      = "allow"
    priority    = local.default
    preview     = false
    description = "Default: allow"

    match {
      versioned_expr = "SRC_IPS_V1"
      config {
        src_ip_ranges = ["*"]
      }
    }
  }

  lifecycle {
    precondition {
      condition     = alltrue([for expression in values(local.waf_expressions) : length(expression) <= 1024])
      error_message = "waf: an expression is longer than 1024 characters: fewer ids, or a lower sensitivity."
    }
  }
}
