resource "google_monitoring_alert_policy" "backlog" {
  project               = var.project
  display_name          = "${var.name}: messages wait too long"
  combiner              = "OR"
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = "Oldest unacknowledged message"

    condition_threshold {
      filter          = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${google_pubsub_subscription.messages.name}\" AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
      comparison      = "COMPARISON_GT"
      threshold_value = var.max_backlog_seconds
      duration        = "300s"

      aggregations {
        alignment_period   = "60s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    content = "Workers are falling behind: look at the job's CPU, its errors, and max_workers."
  }
}

resource "google_monitoring_alert_policy" "dead_letters" {
  project               = var.project
  display_name          = "${var.name}: too many dead letters"
  combiner              = "OR"
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = "Dead letters per row"

    condition_prometheus_query_language {
      query               = <<-EOT
        sum(delta(dataflow_googleapis_com:job_user_counter{job_name="${var.name}", metric_name=~"dead_letters_(written|spilled)"}[10m]))
          / clamp_min(sum(delta(dataflow_googleapis_com:job_user_counter{job_name="${var.name}", metric_name="rows_written"}[10m])) or vector(0), 1)
          > ${var.max_dead_letter_ratio}
      EOT
      duration            = "300s"
      evaluation_interval = "60s"
    }
  }

  documentation {
    content = "templates/sql/error_records_by_reason.sql shows what was rejected, and why."
  }
}

resource "google_monitoring_alert_policy" "lag" {
  project               = var.project
  display_name          = "${var.name}: rows come too late"
  combiner              = "OR"
  notification_channels = var.notification_channels
  user_labels           = var.labels

  conditions {
    display_name = "Average time from a message to its rows"

    # Of counters: the distribution that the job reports too is of its whole life, and its greatest value never falls.
    condition_prometheus_query_language {
      query               = <<-EOT
        sum(delta(dataflow_googleapis_com:job_user_counter{job_name="${var.name}", metric_name="rows_lag_ms_sum"}[10m]))
          / clamp_min(sum(delta(dataflow_googleapis_com:job_user_counter{job_name="${var.name}", metric_name="rows_lag_ms_count"}[10m])), 1)
          > ${var.max_lag_seconds * 1000}
      EOT
      duration            = "300s"
      evaluation_interval = "60s"
    }
  }

  documentation {
    content = "Rows are acknowledged long after their messages were published, or after the time that timestamp_field gives: look at the backlog, the encoder's speed, and BigQuery's errors."
  }
}
