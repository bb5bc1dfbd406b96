// report.html: one file that shows a run, readable anywhere and for ever.
//
// Self-contained: style and pictures are inside, there is no script, and nothing is fetched (a
// Content-Security-Policy says so to the browser). Follows the reader's light or dark scheme, fits
// a phone, and prints. Every text is escaped.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cairn/core/host_array.h"
#include "cairn/plot/chart.h"
#include "cairn/plot/terminal.h"

namespace cairn::plot {

struct Report {
  struct KeyValue {
    std::string key;
    std::string value;
  };
  struct Text {
    std::string title;
    std::string text;  // shown as it is, long lines wrapped
  };
  struct Picture {
    std::string caption;
    HostArray image;  // u8 [height, width] or [height, width, channels], not empty
  };

  std::string title;
  std::string subtitle;
  std::vector<KeyValue> summary;  // a handful of short facts, shown large
  std::string charts_title = "Curves";
  std::vector<Chart> charts;  // the first one over the full width
  std::vector<Picture> pictures;
  std::vector<Text> samples;
  std::vector<Table> tables;
  std::string configuration;      // as the user wrote it; folded
  std::vector<KeyValue> machine;  // what the run ran on
  std::string footer;
};

// The HTML document. Empty parts are left out. Throws Error on a bad chart or image.
std::string to_html(const Report& report);

}  // namespace cairn::plot
