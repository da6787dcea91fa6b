# What the module refuses, one run each.

mock_provider "google" {}

run "a_name_in_capitals" {
  command = plan

  variables {
    name = "Imagen"
  }

  expect_failures = [var.name]
}

run "a_list_without_ranges" {
  command = plan

  variables {
    address_lists = { abuse = { ranges = [] } }
  }

  expect_failures = [var.address_lists]
}

run "an_address_without_length" {
  command = plan

  variables {
    address_lists = { abuse = { ranges = ["198.51.100.7"] } }
  }

  expect_failures = [var.address_lists]
}

run "a_range_with_host_bits" {
  command = plan

  variables {
    address_lists = { abuse = { ranges = ["198.51.100.7/24"] } }
  }

  expect_failures = [var.address_lists]
}

run "everybody_as_a_range" {
  command = plan

  variables {
    address_lists = { abuse = { ranges = ["0.0.0.0/0"] } }
  }

  expect_failures = [var.address_lists]
}

run "a_name_that_does_not_fit" {
  command = plan

  variables {
    address_lists = { "Abuse!" = { ranges = ["198.51.100.0/24"] } }
  }

  expect_failures = [var.address_lists]
}

run "more_ranges_than_rules" {
  command = plan

  variables {
    address_lists = { abuse = { ranges = [for n in range(1001) : cidrsubnet("10.0.0.0/8", 24, n)] } }
  }

  expect_failures = [var.address_lists]
}

run "a_list_of_clouds" {
  command = plan

  variables {
    threat_intelligence = { iplist-public-clouds = {} }
  }

  expect_failures = [var.threat_intelligence]
}

run "a_set_without_version" {
  command = plan

  variables {
    waf          = { xss-stable = {} }
    waf_enforced = []
  }

  expect_failures = [var.waf]
}

run "a_set_of_an_older_version" {
  command = plan

  variables {
    waf          = { xss-v33-stable = {} }
    waf_enforced = []
  }

  expect_failures = [var.waf]
}

run "a_misspelt_version" {
  command = plan

  variables {
    waf          = { xss-v42-stable = {} }
    waf_enforced = []
  }

  expect_failures = [var.waf]
}

run "a_sensitivity_of_five" {
  command = plan

  variables {
    waf = { cve-canary = { sensitivity = 5 } }
  }

  expect_failures = [var.waf]
}

run "sensitivity_0_without_opt_in" {
  command = plan

  variables {
    waf = { cve-canary = { sensitivity = 0 } }
  }

  expect_failures = [var.waf]
}

run "opt_in_beside_a_sensitivity" {
  command = plan

  variables {
    waf = { cve-canary = { opt_in = ["owasp-crs-v030001-id044228-cve"] } }
  }

  expect_failures = [var.waf]
}

run "opt_in_and_opt_out" {
  command = plan

  variables {
    waf = { cve-canary = { sensitivity = 0, opt_in = ["owasp-crs-v030001-id044228-cve"], opt_out = ["owasp-crs-v030001-id144228-cve"] } }
  }

  expect_failures = [var.waf]
}

run "an_id_of_an_older_version" {
  command = plan

  variables {
    waf = { cve-canary = {}, sqli-v422-stable = { opt_out = ["owasp-crs-v030301-id942350-sqli"] } }
  }

  expect_failures = [var.waf]
}

run "an_id_of_another_set" {
  command = plan

  variables {
    waf = { cve-canary = {}, sqli-v422-stable = { opt_out = ["owasp-crs-v042200-id941100-xss"] } }
  }

  expect_failures = [var.waf]
}

run "an_enforced_set_that_is_not_there" {
  command = plan

  variables {
    waf_enforced = ["php-v422-stable"]
  }

  expect_failures = [var.waf_enforced]
}

run "more_ids_than_an_expression_holds" {
  command = plan

  variables {
    waf = { cve-canary = {}, sqli-v422-stable = { opt_out = [for n in range(30) : "owasp-crs-v042200-id9423${format("%02d", n)}-sqli"] } }
  }

  expect_failures = [google_compute_security_policy.api]
}

run "one_key_for_all" {
  command = plan

  variables {
    rate_ban = { key = "ALL" }
  }

  expect_failures = [var.rate_ban]
}

run "a_key_that_clients_choose" {
  command = plan

  variables {
    rate_ban = { key = "XFF_IP" }
  }

  expect_failures = [var.rate_ban]
}

run "a_user_ip_without_headers" {
  command = plan

  variables {
    rate_ban = { key = "USER_IP" }
  }

  expect_failures = [var.rate_ban]
}

run "headers_for_nothing" {
  command = plan

  variables {
    rate_ban = { user_ip_headers = ["True-Client-IP"] }
  }

  expect_failures = [var.rate_ban]
}

run "a_count_of_zero" {
  command = plan

  variables {
    rate_ban = { count = 0 }
  }

  expect_failures = [var.rate_ban]
}

run "a_ban_count_over_the_limit" {
  command = plan

  variables {
    rate_ban = { ban_count = 10001 }
  }

  expect_failures = [var.rate_ban]
}

run "an_interval_that_does_not_exist" {
  command = plan

  variables {
    rate_ban = { interval_sec = 90 }
  }

  expect_failures = [var.rate_ban]
}

run "a_ban_interval_of_half_a_minute" {
  command = plan

  variables {
    rate_ban = { ban_interval_sec = 30 }
  }

  expect_failures = [var.rate_ban]
}

run "a_ban_of_a_day" {
  command = plan

  variables {
    rate_ban = { ban_sec = 86400 }
  }

  expect_failures = [var.rate_ban]
}
