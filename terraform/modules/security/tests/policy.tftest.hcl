mock_provider "google" {}

run "order_is_addresses_threats_waf_rate_default" {
  command = plan

  variables {
    address_lists       = { abuse = { ranges = [for n in range(25) : "198.51.100.${n}/32"] } }
    threat_intelligence = { iplist-tor-exit-nodes = {} }
    waf                 = { cve-canary = {}, sqli-v422-stable = {} }
  }

  assert {
    condition = [
      for priority in sort([for rule in google_compute_security_policy.api.rule : format("%010d", rule.priority)]) :
      one([for rule in google_compute_security_policy.api.rule : rule.description if format("%010d", rule.priority) == priority])
      ] == [
      "Addresses: abuse",
      "Addresses: abuse",
      "Addresses: abuse",
      "Threat intelligence: iplist-tor-exit-nodes",
      "WAF: cve-canary",
      "WAF: sqli-v422-stable",
      "Rate: who floods is banned",
      "Default: allow",
    ]
    error_message = "The rules are not in the order of the bands."
  }
}

run "no_rule_compares_more_than_ten_ranges" {
  command = plan

  variables {
    address_lists = { abuse = { ranges = [for n in range(25) : "198.51.100.${n}/32"] } }
  }

  assert {
    condition = sum([
      for rule in google_compute_security_policy.api.rule :
      startswith(rule.description, "Addresses") ? length(rule.match[0].config[0].src_ip_ranges) : 0
    ]) == 25
    error_message = "Ranges were lost."
  }

  assert {
    condition = alltrue([
      for rule in google_compute_security_policy.api.rule :
      try(length(rule.match[0].config[0].src_ip_ranges), 0) <= 10
    ])
    error_message = "A rule takes ten ranges at most."
  }
}

run "sets_are_in_preview_until_they_are_enforced" {
  command = plan

  variables {
    waf_enforced = ["cve-canary", "xss-v422-stable"]
  }

  assert {
    condition = toset([
      for rule in google_compute_security_policy.api.rule : rule.description
      if startswith(rule.description, "WAF") && !rule.preview
    ]) == toset(["WAF: cve-canary", "WAF: xss-v422-stable"])
    error_message = "Others than the enforced sets refuse."
  }
}

run "a_set_keeps_its_priority_when_others_come" {
  command = plan

  variables {
    waf          = { xss-v422-stable = {} }
    waf_enforced = []
  }

  assert {
    condition = [
      for rule in google_compute_security_policy.api.rule : rule.priority if startswith(rule.description, "WAF")
    ] == [3002]
    error_message = "The priority of a set depends on which others there are."
  }
}

run "options_of_a_set_stand_in_its_expression" {
  command = plan

  variables {
    waf = {
      sqli-v422-stable = { sensitivity = 2, opt_out = ["owasp-crs-v042200-id942350-sqli", "owasp-crs-v042200-id942360-sqli"] }
      cve-canary       = { sensitivity = 0, opt_in = ["owasp-crs-v030001-id044228-cve"] }
    }
  }

  assert {
    condition = toset([
      for rule in google_compute_security_policy.api.rule : rule.match[0].expr[0].expression
      if startswith(rule.description, "WAF")
      ]) == toset([
      "evaluatePreconfiguredWaf('cve-canary', {'sensitivity': 0, 'opt_in_rule_ids': ['owasp-crs-v030001-id044228-cve']})",
      "evaluatePreconfiguredWaf('sqli-v422-stable', {'sensitivity': 2, 'opt_out_rule_ids': ['owasp-crs-v042200-id942350-sqli', 'owasp-crs-v042200-id942360-sqli']})",
    ])
    error_message = "An expression does not say what the variable says."
  }
}

run "the_ban_is_complete" {
  command = plan

  assert {
    condition = alltrue([
      for rule in google_compute_security_policy.api.rule :
      rule.rate_limit_options[0].enforce_on_key == "IP"
      && rule.rate_limit_options[0].ban_duration_sec == 600
      && rule.rate_limit_options[0].ban_threshold[0].count == 3000
      if rule.action == "rate_based_ban"
    ])
    error_message = "A key, a duration or a threshold is missing."
  }
}
